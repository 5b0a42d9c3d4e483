# Rendered people with alpha and foreground, on disk. To render them, for train and, with another seed, for val:
#   sapiens render --out $DATA_ROOT/synthetic/train --num 10000 --labels mask,alpha,foreground --scene hair_rays=15
train_dataset = dict(
    type='GeometryDataset',
    fields=['alpha', 'foreground'],
    data_root='{{$DATA_ROOT:data}}/synthetic/train',
)
val_dataset = dict(
    type='GeometryDataset',
    fields=['alpha', 'foreground'],
    data_root='{{$DATA_ROOT:data}}/synthetic/val',
    test_mode=True,
)
metric = dict(type='MattingMetric')
