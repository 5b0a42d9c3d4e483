# Random backgrounds behind half of the people; tested on photographs as backgrounds (docs/tasks/depth.md).
_base_ = '../sapiens_tiny_synthetic-128x96.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomBackground', prob=0.5, root='{{$DATA_ROOT:data}}/backgrounds/train'),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(alpha='alpha', pipeline=train_pipeline))
