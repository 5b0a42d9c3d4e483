# Your pretraining images under $DATA_ROOT/humans300m/{train,val}; the published Humans-300M is not public.
# docs/data.md shows a config for a list of paths or tar shards.
train_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}/humans300m/train')
val_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}/humans300m/val')
metric = dict(type='ReconstructionLoss')
