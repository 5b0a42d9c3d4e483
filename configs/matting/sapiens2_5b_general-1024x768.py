# Not published at this size: the recipe of 1b and the head of normals.
_base_ = ['./_base_/sapiens2_general-1024x768.py', '../_base_/backbones/sapiens2_5b.py']

model = dict(backbone=_base_.backbone, head=dict(upsample_channels=(1536, 768, 512, 256), conv_channels=(128, 64, 32)))
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay_rate=_base_.layer_decay_rate),
    clip_grad=dict(max_norm=_base_.max_norm),
)
train_cfg = dict(max_iters=14550)
