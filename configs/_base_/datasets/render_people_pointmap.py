# Rendered scans: rgb/, mask/, depth/, camera_intrinsics/ (data/README.md). The last hundredth by name is held out.
train_dataset = dict(
    type='GeometryDataset',
    fields=['pointmap'],
    data_root='{{$DATA_ROOT:data}}/render_people',
    part=(0, 0.99),
)
val_dataset = dict(
    type='GeometryDataset',
    fields=['pointmap'],
    data_root='{{$DATA_ROOT:data}}/render_people',
    part=(0.99, 1),
    test_mode=True,
)
metric = dict(type='PointmapMetric')
