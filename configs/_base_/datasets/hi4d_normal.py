# Hi4D for evaluation: pairs 28, 32 and 37, camera 4, with normal rendered from its meshes (data/README.md).
test_dataset = dict(
    type='GeometryDataset',
    fields=['normal'],
    data_root='{{$DATA_ROOT:data}}/hi4d',
    sequences=['pair28/*', 'pair32/*', 'pair37/*'],
    images='images/4',
    normal='normal/4',
    mask='seg/img_seg_mask/4/all',
    test_mode=True,
)
test_metric = dict(type='NormalMetric', average='image', prefix='hi4d_normal')
