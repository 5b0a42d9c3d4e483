"""Body-part segmentation with Sapiens2 at 1024x768.

Reproduces: the published recipe of 29 classes, counted in iterations. Its data are not public. Not trained to the end here.
Cross entropy with the class weights of the class list, divided by the number of pixels, and Dice; maps of the size of the input.
Images are evaluated with OpenCV's interpolation, as published.
Batch: per GPU, on a node of 8 GPUs.
Command: bash tools/dist_train.sh configs/seg/sapiens2_1b_goliath-1024x768.py 8
"""

_base_ = './seg-1024x768.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='Sapiens2ViT',
        img_size=(1024, 768),
        rope_dtype='fp32',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(
        _delete_=True,
        type='DeconvHead',
        deconv_channels=(512, 256, 128, 64),
        conv_channels=(64, 64),
        predictor='conv_seg',
        init_deconvs=False,
    ),
    losses=[
        dict(type='SegCrossEntropyLoss', class_weight='classes', average='pixels'),
        dict(type='SegDiceLoss', loss_weight=1.0),
    ],
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
            dict(type='RandomResize', size=(768, 1024), ratio=(0.4, 2.0)),
            dict(type='RandomCrop', size=(768, 1024), cat_max_ratio=0.75, prob=0.3),
            dict(type='RandomRotate', degree=60, prob=0.5, seg_padding=0),
            dict(type='RandomFlip', prob=0.5),
            dict(type='Resize', size=(768, 1024)),
        ],
    ),
    dict(type='GaussianBlur', prob=0.3),
    dict(type='GaussianNoise', prob=0.3),
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(type='LoadResize', size=(768, 1024), interpolation='published'),
    dict(type='PackDense'),
]
