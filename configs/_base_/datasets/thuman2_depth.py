# THuman2.0 for evaluation: its scans rendered as face, upper half and full body (data/README.md).
val_dataset = dict(
    type='GeometryDataset',
    fields=['depth'],
    data_root='{{$DATA_ROOT:data}}/thuman2',
    sequences='*',
    test_mode=True,
)
metric = dict(type='DepthMetric', alignment='scale-shift')
