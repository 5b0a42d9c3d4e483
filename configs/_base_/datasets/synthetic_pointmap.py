# Rendered people with depth and cameras, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --labels mask,depth,camera,instance
train_dataset = dict(
    type='GeometryDataset',
    fields=['pointmap'],
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
)
val_dataset = dict(
    type='GeometryDataset',
    fields=['pointmap'],
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    instance='instance',
    test_mode=True,
)
metric = dict(type='PointmapMetric')
