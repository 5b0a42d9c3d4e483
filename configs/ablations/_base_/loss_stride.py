"""Losses of segmentation and normals on one pixel of a grid: 1 of 1, of 2x2, of 4x4."""

variants = [
    dict(name=f'stride-{stride}', options={f'{task}:+model.loss_stride': stride for task in ('seg', 'normal')})
    for stride in (1, 2, 4)
]
metrics = {'seg:mIoU': 'higher', 'normal:mean': 'lower'}
checks = ['stride-4.seg:mIoU > stride-1.seg:mIoU - 0.01', 'stride-4.normal:mean < stride-1.normal:mean + 0.5']
