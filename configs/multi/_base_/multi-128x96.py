"""Several tasks on one encoder at 128x96, for CPUs and first experiments.

Leaves take the heads, losses, data and metrics from the recipes of the single tasks. A step trains one task and the tasks take
turns: 3000 iterations of three tasks are 1000 for each. Command and numbers: docs/tasks/multi.md.
"""

_base_ = '../../_base_/schedules/tiny-finetune.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='TaskSampler'))
custom_hooks = [
    dict(type='PosePictureHook', task='pose', interval=500, num_images=16),
    dict(type='DenseFigureHook', task='seg', interval=500, num_images=8),
    dict(type='DenseFigureHook', task='normal', interval=500, num_images=8),
]
