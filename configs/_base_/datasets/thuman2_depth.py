# THuman2.0 for evaluation: its scans rendered as face, upper half and full body (data/README.md).
test_dataset = dict(
    type='GeometryDataset',
    fields=['depth'],
    data_root='{{$DATA_ROOT:data}}/thuman2',
    sequences='*',
    test_mode=True,
)
test_metric = dict(type='DepthMetric', alignment='scale-shift', target='metric', average='image', prefix='thuman2')
