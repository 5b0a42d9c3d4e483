# Only the encoder differs from the first family's leaf: decoder, masks and schedule are equal, so that the two compare.
_base_ = ['./_base_/synthetic-128x128.py', '../_base_/backbones/sapiens2_tiny.py']

model = dict(
    backbone=dict(
        _delete_=True,
        img_size=(128, 128),
        rope_dtype='fp32',
        drop_path_rate=0.0,
        **_base_.backbone,
    ),
)
