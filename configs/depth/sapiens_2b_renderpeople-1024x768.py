_base_ = ['./_base_/renderpeople-1024x768.py', '../_base_/backbones/sapiens_2b.py']

model = dict(backbone=_base_.backbone)
