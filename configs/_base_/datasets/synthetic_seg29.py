# Rendered people with label maps of 29 classes, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --labels mask,seg29,alpha
classes = 'goliath29'
train_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
    images='rgb',
    labels='seg29',
)
val_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    images='rgb',
    labels='seg29',
    test_mode=True,
)
# Fingers and lips are hardly a pixel in small images: also report means over the larger classes.
metric = dict(type='SegMetric', classes=classes, min_share=0.001)
