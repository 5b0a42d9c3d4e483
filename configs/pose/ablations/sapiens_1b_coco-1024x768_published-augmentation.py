# Photometric distortion with the faults that the released weights were trained with (docs/differences.md).
_base_ = '../sapiens_1b_coco-1024x768.py'

train_pipeline = [
    dict(step, published=True) if step['type'] == 'PhotometricDistortion' else step for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
