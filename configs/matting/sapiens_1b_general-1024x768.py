_base_ = ['./_base_/sapiens_general-1024x768.py', '../_base_/backbones/sapiens_1b.py']

model = dict(backbone=_base_.backbone)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85), clip_grad=dict(max_norm=4.0))
train_cfg = dict(max_iters=14550)
