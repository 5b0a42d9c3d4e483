# Rendered people with albedo, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --labels mask,albedo
train_dataset = dict(
    type='GeometryDataset',
    fields=['albedo'],
    albedo_coding='linear',
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
)
val_dataset = dict(
    type='GeometryDataset',
    fields=['albedo'],
    albedo_coding='linear',
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    test_mode=True,
)
metric = dict(type='AlbedoMetric')
