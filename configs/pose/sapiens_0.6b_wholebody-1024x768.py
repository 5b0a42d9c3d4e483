_base_ = ['./_base_/wholebody-1024x768.py', '../_base_/backbones/sapiens_0.6b.py']

model = dict(backbone=_base_.backbone)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))  # as released; 1b and 2b have 0.85
