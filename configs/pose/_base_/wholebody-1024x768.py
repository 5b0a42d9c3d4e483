"""The recipe of pose-1024x768.py on datasets/wholebody.py."""

_base_ = ['../../_base_/schedules/pose-210e.py', '../../_base_/datasets/wholebody.py', './pose-1024x768.py']

# As published for this data: people with few visible keypoints are kept.
train_pipeline = [
    dict(step, min_visible=0) if step['type'] == 'LoadPerson' else step for step in _base_.train_pipeline
]

model = dict(skeleton=_base_.skeleton)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

default_hooks = dict(checkpoint=dict(interval=10, save_best='coco-wholebody/AP'))
