_base_ = ['./_base_/wholebody-1024x768.py', '../_base_/backbones/sapiens_1b.py']

model = dict(backbone=_base_.backbone)
auto_scale_lr = dict(enable=True)  # as released, for this size only
