"""Masked-autoencoder pretraining at 256x256 for CPUs and first experiments. Nothing is published for it.

Differs from mae-1024x1024.py because of the small grid of 256 patches, of which 5 % would be 12: 75 % are removed. The decoder
has 2 blocks of 192, since the published one has ten times the parameters of the tiny encoder. Pixels are not normalized per
patch, so reconstructions show learned colors and not the true mean of each patch.
"""

_base_ = './mae-1024x1024.py'

model = dict(
    backbone=dict(img_size=(256, 256)),
    decoder=dict(num_layers=2, embed_dims=192, num_heads=3),
    mask_ratio=0.75,
    norm_pix=False,
)
train_pipeline = [
    dict(type='LoadRandomResizedCrop', size=(256, 256), area=(0.2, 1.0), aspect=(3 / 4, 4 / 3), flip_prob=0.5),
    dict(type='PackImage'),
]
val_pipeline = [
    dict(type='LoadResize', size=(256, 256)),
    dict(type='PackImage'),
]
