_base_ = ['./_base_/hi4d-1024x768.py', '../_base_/backbones/sapiens_0.3b.py']

model = dict(backbone=_base_.backbone)
