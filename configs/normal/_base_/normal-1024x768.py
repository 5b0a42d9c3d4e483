"""Surface normals of people at 1024x768.

Reproduces: the recipe of the released configs (rendered scans). Not trained to the end here.
Batch: 1 per GPU in the released configs, 2 per GPU x 32 GPUs in their launch scripts.
Command: bash tools/dist_train.sh configs/normal/sapiens_1b_renderpeople-1024x768.py 8
"""

model = dict(
    type='DenseEstimator',
    backbone=dict(
        type='SapiensViT',
        img_size=(1024, 768),
        patch_padding=2,
        with_cls_token=False,
        pos_embed='learned',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(type='DenseHead', deconv_channels=(768, 768, 768), conv_channels=(768, 768, 768), dropout=0.1),
    task=dict(type='NormalTask'),
    losses=[dict(type='NormalCosineLoss'), dict(type='NormalL1Loss')],
    test_cfg=dict(flip_test=False, crop_size=None, stride=None, resize='two_step'),
)

train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),  # drawn here, applied to the fewest pixels
    dict(type='LoadLabels', fields=['normal']),
    dict(
        type='RandomBackground',
        prob=0.5,
        root='{{$DATA_ROOT:data}}/coco/train2017',
        ann_file='../annotations/person_keypoints_train2017.json',
    ),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=(768, 1024), ratio=(0.2, 2.0)),
            dict(type='RandomCrop', size=(768, 1024)),
            dict(type='Resize', size=(768, 1024)),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackDense', unit_vectors='fp16'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['normal']),
    dict(type='LoadResize', size=(768, 1024), interpolation='bilinear', antialias=False),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='NormalPictureHook', interval=100, num_images=4)]
