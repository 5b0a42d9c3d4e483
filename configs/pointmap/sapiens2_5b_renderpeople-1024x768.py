_base_ = ['./_base_/sapiens2_renderpeople-1024x768.py', '../_base_/backbones/sapiens2_5b.py']

model = dict(
    backbone=_base_.backbone,
    head=dict(upsample_channels=(1536, 768, 768, 768), conv_channels=(128, 64, 32)),
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(layer_decay_rate=_base_.layer_decay_rate),
    clip_grad=dict(max_norm=_base_.max_norm),
)
train_cfg = dict(max_iters=40000)
