"""Body-part segmentation at 1024x768.

Reproduces: the recipe of the released configs for Goliath's 28 classes (mIoU 76.7 / 77.8 / 79.9 / 81.1 for 0.3b / 0.6b / 1b / 2b,
by the names of the released weights, on a test set that is not public); the bases of CIHP, LIP and faces state their differences.
Not trained to the end here. Class weights are those of the class list. The loss is divided by the number of pixels, as published.
Batch: 1 per GPU in the released configs, 2 per GPU x 32 GPUs in their launch scripts.
Command: bash tools/dist_train.sh configs/seg/sapiens_1b_goliath-1024x768.py 8
"""

model = dict(
    type='DenseEstimator',
    backbone=dict(
        type='SapiensViT',
        img_size=(1024, 768),
        patch_padding=0,
        with_cls_token=False,
        pos_embed='learned',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(type='DenseHead', deconv_channels=(768, 768, 768), conv_channels=(768, 768, 768), dropout=0.1),
    task=dict(type='SegTask'),
    losses=[dict(type='SegCrossEntropyLoss', class_weight='classes', average='pixels')],
    test_cfg=dict(flip_test=False, crop_size=None, stride=None, resize='two_step'),
)

train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),  # drawn here, applied to the fewest pixels
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(
        type='RandomBackground',
        prob=0.8,
        root='{{$DATA_ROOT:data}}/coco/train2017',
        ann_file='../annotations/person_keypoints_train2017.json',
    ),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=(768, 1024), ratio=(0.2, 2.0)),
            dict(type='RandomCrop', size=(768, 1024), cat_max_ratio=0.75),
            dict(type='Resize', size=(768, 1024)),
            dict(type='RandomRotate', degree=45, prob=0.5, seg_padding=0),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(type='LoadResize', size=(768, 1024), interpolation='bilinear', antialias=False),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='SegPictureHook', interval=100, num_images=4)]
