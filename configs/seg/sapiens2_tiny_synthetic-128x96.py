_base_ = ['./_base_/sapiens2_synthetic-128x96.py', '../_base_/backbones/sapiens2_tiny.py']

model = dict(backbone=_base_.backbone)
