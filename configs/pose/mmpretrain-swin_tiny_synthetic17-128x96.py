_base_ = ['./_base_/synthetic17-128x96.py', '../_base_/backbones/mmpretrain-swin_tiny.py']

model = dict(backbone=dict(_delete_=True, img_size=(128, 96), **_base_.backbone))
optim_wrapper = dict(paramwise_cfg=dict(no_decay=['pos_embed', 'relative_position_bias_table']))
