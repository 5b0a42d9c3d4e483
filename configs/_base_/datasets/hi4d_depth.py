# Hi4D for evaluation: pairs 28, 32 and 37, camera 4, with depth rendered from its meshes (data/README.md).
test_dataset = dict(
    type='GeometryDataset',
    fields=['depth'],
    data_root='{{$DATA_ROOT:data}}/hi4d',
    sequences=['pair28/*', 'pair32/*', 'pair37/*'],
    images='images/4',
    depth='depth/4',
    mask='seg/img_seg_mask/4/all',
    test_mode=True,
)
test_metric = dict(type='DepthMetric', alignment='scale-shift', target='metric', average='image', prefix='hi4d')
