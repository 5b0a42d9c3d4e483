# Any images with normals and masks: images/, normals/, masks/ (data/README.md). The last hundredth by name is held out.
train_dataset = dict(
    type='GeometryDataset',
    fields=['normal'],
    data_root='{{$DATA_ROOT:data}}/normal_general',
    part=(0, 0.99),
)
val_dataset = dict(
    type='GeometryDataset',
    fields=['normal'],
    data_root='{{$DATA_ROOT:data}}/normal_general',
    part=(0.99, 1),
    test_mode=True,
)
metric = dict(type='NormalMetric')
