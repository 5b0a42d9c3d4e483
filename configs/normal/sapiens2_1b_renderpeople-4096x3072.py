# Not published: our recipe.
_base_ = ['./_base_/sapiens2_renderpeople-4096x3072.py', '../_base_/backbones/sapiens2_1b_4k.py']

model = dict(backbone=_base_.backbone)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay_rate=_base_.layer_decay_rate),
    clip_grad=dict(max_norm=_base_.max_norm),
)
train_cfg = dict(max_iters=40000)
