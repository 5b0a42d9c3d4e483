_base_ = ['./_base_/goliath-1024x768.py', '../_base_/backbones/sapiens_1b.py']

model = dict(
    backbone=dict(arch=_base_.backbone.arch, init_cfg=_base_.backbone.init_cfg),
    losses=dict(top_k=128),  # as released; 0.6b and 2b train on all keypoints
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.95))  # as released; the other sizes have 0.85
