"""Body-part segmentation with Sapiens2 at 4096x3072, on datasets/goliath_seg29.py.

Not a published recipe: only the encoder was released. The paper states that the 1b encoder at 4096x3072 is finetuned for parts
and normals (mIoU 81.9), and that heads of 4K models give maps of 2048x1536. Not trained here. Losses, schedule, augmentation and
class weights are those of sapiens2-1024x768.py. Our choices:
- a fifth deconvolution of 32 channels, since a token is 64 pixels wide and the map is half as large as the image;
- losses on a random 1-in-2 pixel grid, one pixel for each one of the map;
- all blocks recompute their activations, one image per GPU, and 8 of them a step, the batch of 1024x768;
- the tokenizer is trained with the learning rate of the patch embedding, which decays most.
Sides of images are multiples of 64: 4x4 patches of 16 pixels.
Command: bash tools/dist_train.sh configs/seg/sapiens2_1b_goliath-4096x3072.py 8
"""

_base_ = ['../../_base_/schedules/sapiens2.py', '../../_base_/datasets/goliath_seg29.py', './sapiens2-1024x768.py']

model = dict(
    backbone=dict(img_size=(4096, 3072)),
    head=dict(deconv_channels=(512, 256, 128, 64, 32), conv_channels=(64, 64)),
    task=dict(classes=_base_.classes),
    loss_stride=2,
)
train_pipeline = [
    dict(step, steps=[dict(one, size=(3072, 4096)) if 'size' in one else one for one in step['steps']])
    if 'steps' in step
    else step
    for step in _base_.train_pipeline
]
val_pipeline = [dict(step, size=(3072, 4096)) if 'size' in step else step for step in _base_.val_pipeline]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline, **_base_.train_dataset))
val_dataloader = dict(batch_size=1, dataset=dict(pipeline=val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

activation_checkpointing = dict(backbone='all')
optim_wrapper = dict(accumulative_counts=8)
default_hooks = dict(checkpoint=dict(save_best='seg/mIoU'))
