# LIP, 20 classes (data/README.md).
classes = 'lip20'
train_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/lip',
    images='images/train_images',
    labels='segmentations/train_segmentations',
)
val_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/lip',
    images='images/val_images',
    labels='segmentations/val_segmentations',
    test_mode=True,
)
metric = dict(type='SegMetric', classes=classes)
