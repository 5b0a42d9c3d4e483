_base_ = ['./_base_/humans300m-1024x1024.py', '../_base_/backbones/sapiens_2b.py']

model = dict(backbone=dict(arch=_base_.backbone.arch))
