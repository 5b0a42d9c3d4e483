"""The recipe of pose-1024x768.py on datasets/goliath.py."""

_base_ = ['../../_base_/schedules/pose-210e.py', '../../_base_/datasets/goliath.py', './pose-1024x768.py']

# As published for this data: at least 8 visible keypoints, not 4.
train_pipeline = [
    dict(step, min_visible=8) if step['type'] == 'LoadPerson' else step for step in _base_.train_pipeline
]

model = dict(skeleton=_base_.skeleton)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1000, save_best='goliath/AP'))
# As published: a tenth of COCO's learning rate.
optim_wrapper = dict(optimizer=dict(lr=5e-5))
