_base_ = ['./_base_/renderpeople-1024x768.py', '../_base_/backbones/sapiens_0.3b.py']

model = dict(backbone=_base_.backbone)
