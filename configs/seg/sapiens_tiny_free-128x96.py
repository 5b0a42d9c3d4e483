_base_ = ['./_base_/free-128x96.py', '../_base_/backbones/sapiens_tiny.py']

model = dict(backbone=dict(arch=_base_.backbone.arch))
