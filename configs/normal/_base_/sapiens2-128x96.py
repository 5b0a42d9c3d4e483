"""Surface normals with Sapiens2 at 128x96 for CPUs and first experiments.

Nothing is published for it. The chain of the first family's normal-128x96.py with the encoder, head and losses of the second one.
Command and numbers: docs/tasks/normal.md.
"""

_base_ = './normal-128x96.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='Sapiens2ViT',
        img_size=(128, 96),
        rope_dtype='fp32',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(
        _delete_=True,
        type='PixelShuffleHead',
        upsample_channels=(64, 64),
        conv_channels=(64,),
        norm='instance',
        predictor='conv_normal',
    ),
    losses=[
        dict(type='NormalCosineLoss', loss_weight=10.0),
        dict(type='NormalL1Loss', loss_weight=1.0),
        dict(type='NormalGradientLoss', loss_weight=10.0),
    ],
)
