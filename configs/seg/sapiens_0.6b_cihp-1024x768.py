_base_ = ['./_base_/cihp-1024x768.py', '../_base_/backbones/sapiens_0.6b.py']

model = dict(backbone=_base_.backbone)
