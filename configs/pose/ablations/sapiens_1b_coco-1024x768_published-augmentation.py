# Photometric distortion with the faults that the released weights were trained with, and their rule for people with few visible
# keypoints (docs/differences.md).
_base_ = '../sapiens_1b_coco-1024x768.py'

_published = dict(
    PhotometricDistortion=dict(published=True), LoadPerson=dict(touching=dict(sigma=6.0, heatmap_size=(192, 256)))
)
train_pipeline = [dict(step, **_published.get(step['type'], {})) for step in _base_.train_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
