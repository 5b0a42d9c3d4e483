"""Top-down pose estimation with Sapiens2 at 1024x768: heatmaps of a quarter of the size, mean squared error.

Reproduces: the published recipe of 308 keypoints, counted in iterations. Its data are not public. Not trained to the end here.
Differs from the first family's pose-1024x768.py by the encoder, the head, the factor of the loss, and changes of color in four of
five samples. The published filters of the data (6 of the first 21 keypoints, no gray photographs) belong to the data set.
Batch: per GPU, on a node of 8 GPUs.
Command: bash tools/dist_train.sh configs/pose/sapiens2_1b_goliath-1024x768.py 8
"""

_base_ = './pose-1024x768.py'

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
        deconv_channels=(1024, 768),
        conv_channels=(512, 512, 256),
        predictor='conv_pose',
    ),
    losses=dict(loss_weight=10.0),
)
train_pipeline = [
    dict(step, prob=0.8)
    if step['type'] == 'PhotometricDistortion'
    else dict(step, min_visible=8)
    if step['type'] == 'LoadPerson'
    else step
    for step in _base_.train_pipeline
]
