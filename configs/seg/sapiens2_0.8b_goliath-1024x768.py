_base_ = ['./_base_/sapiens2_goliath-1024x768.py', '../_base_/backbones/sapiens2_0.8b.py']

model = dict(backbone=_base_.backbone)
train_dataloader = dict(batch_size=5)
optim_wrapper = dict(
    precision='fp32',  # as published
    paramwise_cfg=dict(layer_decay_rate=_base_.layer_decay_rate),
    clip_grad=dict(max_norm=_base_.max_norm),
)
train_cfg = dict(max_iters=30000)
