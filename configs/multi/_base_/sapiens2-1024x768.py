"""Several tasks on one Sapiens2 encoder at 1024x768, all with one letterboxed input.

Not a published recipe, and not trained here. Heads, losses, data and augmentation are those of the recipes of the single tasks,
as is the optimizer. Our choices:
- parts see letterboxed images, as normals do, and not stretched ones: so one input suits all tasks of the whole image, and pose
  where no boxes are given;
- turns and length give each task as many iterations as its recipe does alone;
- the batch is the smallest of these recipes, for each task.
Batch: per GPU, on a node of 8 GPUs.
Command: bash tools/dist_train.sh configs/multi/sapiens2_1b_goliath-1024x768.py 8
"""

_base_ = '../../_base_/schedules/sapiens2.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='TaskSampler'))
custom_hooks = [
    dict(type='PosePictureHook', task='pose', interval=100, num_images=16),
    dict(type='DenseFigureHook', task='seg', interval=100, num_images=4),
    dict(type='DenseFigureHook', task='normal', interval=100, num_images=4),
]
