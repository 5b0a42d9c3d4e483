_base_ = ['./_base_/coco-1024x768.py', '../_base_/backbones/sapiens_1b.py']

model = dict(backbone=_base_.backbone)
