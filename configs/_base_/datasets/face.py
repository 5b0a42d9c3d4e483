# FaceSynthetics, 19 classes: images and label maps in one folder (data/README.md). The published recipe has no validation.
# Here the last hundredth by name is held out.
classes = 'face19'
train_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/face_synthetics',
    images='.',
    labels='.',
    label_ending='_seg',
    part=(0, 0.99),
)
val_dataset = dict(
    type='SegmentationDataset',
    classes=classes,
    data_root='{{$DATA_ROOT:data}}/face_synthetics',
    images='.',
    labels='.',
    label_ending='_seg',
    part=(0.99, 1),
    test_mode=True,
)
metric = dict(type='SegMetric', classes=classes)
