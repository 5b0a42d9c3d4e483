_base_ = ['./_base_/lip-1024x768.py', '../_base_/backbones/sapiens_2b.py']

model = dict(backbone=dict(arch=_base_.backbone.arch, init_cfg=_base_.backbone.init_cfg))
optim_wrapper = dict(
    clip_grad=dict(max_norm=_base_.finetune.max_norm),
    paramwise_cfg=dict(layer_decay_rate=_base_.finetune.layer_decay_rate),
)
