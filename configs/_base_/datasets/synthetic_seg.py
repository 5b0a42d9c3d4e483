# Rendered people with label maps of 28 classes, on disk; make them with, for each of train and val (another seed):
#   python tools/data/make_synthetic_humans.py --out $DATA_ROOT/synthetic/train --num 10000 --labels mask,seg,alpha
classes = 'goliath28'
train_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
    images='rgb',
    labels='seg',
)
val_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    images='rgb',
    labels='seg',
    test_mode=True,
)
# Fingers and lips are hardly a pixel in small pictures: means over the classes of some size are reported too.
metric = dict(type='SegMetric', classes=classes, min_share=0.001)
