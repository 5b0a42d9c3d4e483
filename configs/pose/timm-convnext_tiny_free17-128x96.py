_base_ = ['./_base_/free17-128x96.py', '../_base_/backbones/timm-convnext_tiny.py']

model = dict(backbone=dict(_delete_=True, img_size=(128, 96), **_base_.backbone))
