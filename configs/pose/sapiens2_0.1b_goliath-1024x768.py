# Not published at this size: the recipe of 0.4b.
_base_ = ['./_base_/sapiens2_goliath-1024x768.py', '../_base_/backbones/sapiens2_0.1b.py']

model = dict(backbone=_base_.backbone)
train_dataloader = dict(batch_size=6)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay_rate=_base_.layer_decay_rate),
    clip_grad=dict(max_norm=_base_.max_norm),
)
train_cfg = dict(max_iters=10000)
