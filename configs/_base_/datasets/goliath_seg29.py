# Label maps of Goliath's 34 classes, of which Sapiens2 learns 29: both classes of glasses are one, others are ignored.
# The published data are not public: use your own images (data/README.md), with source_classes=None if their labels have the 29
# classes, or synthetic_seg29.py.
classes = 'goliath29'
train_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    source_classes='goliath34',
    data_root='{{$DATA_ROOT:data}}/goliath/train',
    images='images',
    labels='segmentations',
)
val_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    source_classes='goliath34',
    data_root='{{$DATA_ROOT:data}}/goliath/test_5000',
    images='images',
    labels='segmentations',
    test_mode=True,
)
metric = dict(type='SegMetric', classes=classes)
