# CIHP, 20 classes (data/README.md).
classes = 'cihp20'
train_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/cihp/Training',
    images='Images',
    labels='Category_ids',
)
val_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/cihp/Validation',
    images='Images',
    labels='Category_ids',
    test_mode=True,
)
metric = dict(type='SegMetric', classes=classes)
