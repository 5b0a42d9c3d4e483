"""Top-down pose estimation at 1024x768: heatmaps of a quarter of the size, mean squared error.

Reproduces: the recipe of the released configs for 17, 133 and 308 keypoints. Published, with flip test and detected boxes, for
0.3b / 0.6b / 1b / 2b: COCO AP 79.6 / 81.2 / 82.1 / 82.2, whole-body AP 62.0 / 69.5 / 72.7 / 74.4; not trained to the end here.
Leaves state the differences by size and data. The paper describes linear decay, not steps: ablations/*_linear-decay.py.
Faults of the published augmentation are corrected. docs/differences.md lists the options that restore them.
Batch: 64 per GPU in the released configs, 4 per GPU in their launch scripts (8 GPUs, or 2 nodes of 8); the learning rate does not
scale with the batch unless auto_scale_lr is enabled.
Command: bash tools/dist_train.sh configs/pose/sapiens_1b_coco-1024x768.py 8
"""

model = dict(
    type='PoseEstimator',
    backbone=dict(
        type='SapiensViT',
        img_size=(1024, 768),
        patch_padding=2,
        with_cls_token=False,
        pos_embed='learned',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(type='HeatmapHead', deconv_channels=(768, 768), conv_channels=(768, 768)),
    codec=dict(type='UDPHeatmap', sigma=6.0, refine='newton', blur_kernel_size=11),
    losses=dict(type='HeatmapMSELoss', top_k=None),
    test_cfg=dict(flip_test=True, keypoints=None, output_heatmaps=False),
)

train_pipeline = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(
        type='mmpose.RandomHalfBody',
        prob=0.3,
        min_total_keypoints=9,
        min_upper_keypoints=2,
        min_lower_keypoints=3,
        upper_prioritized_prob=0.7,
        padding=1.5,
    ),
    dict(
        type='mmpose.RandomBBoxTransform',
        shift_factor=0.16,
        shift_prob=0.3,
        scale_factor=(0.5, 1.5),
        scale_prob=1.0,
        rotate_factor=80,
        rotate_prob=0.6,
    ),
    dict(type='PhotometricDistortion'),  # applied to the photograph or the crop, to the fewer pixels
    dict(type='LoadPerson', size=(768, 1024), flip_prob=0.5, min_visible=4, decode='fast'),
    dict(type='RandomBlur'),
    dict(type='CoarseDropout', height=(0.2, 0.4), width=(0.2, 0.4), prob=1.0),
    dict(type='PackPose'),
]
val_pipeline = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(type='LoadPerson', size=(768, 1024)),
    dict(type='PackPose'),
]

custom_hooks = [dict(type='PosePictureHook', interval=100, num_images=16)]
