_base_ = ['./_base_/goliath-1024x768.py', '../_base_/backbones/sapiens_0.3b.py']

model = dict(
    backbone=dict(arch=_base_.backbone.arch, init_cfg=_base_.backbone.init_cfg),
    losses=dict(top_k=128),  # as released; 0.6b and 2b train on all keypoints
)
