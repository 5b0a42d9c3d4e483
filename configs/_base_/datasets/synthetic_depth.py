# Rendered people with depth, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --labels mask,depth,instance,alpha
train_dataset = dict(
    type='GeometryDataset',
    fields=['depth'],
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
)
val_dataset = dict(
    type='GeometryDataset',
    fields=['depth'],
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    instance='instance',
    test_mode=True,
)
metric = dict(type='DepthMetric', alignment='scale-shift')
