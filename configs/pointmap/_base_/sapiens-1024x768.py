"""Pointmaps with an encoder of the first family under the head of sapiens2-1024x768.py.

Nothing is published for it: recipe and head are those of Sapiens2, the layer decay is that of the first family's finetuning.
Command: bash tools/dist_train.sh configs/pointmap/sapiens_1b_renderpeople-1024x768.py 8
"""

_base_ = './sapiens2-1024x768.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='SapiensViT',
        img_size=(1024, 768),
        patch_padding=2,
        with_cls_token=False,
        pos_embed='learned',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
)
