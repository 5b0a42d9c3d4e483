# Any folder of images: $DATA_ROOT itself. Training and validation use the same images:
# the loss measures fitting, not generalization.
train_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}')
val_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}')
metric = dict(type='ReconstructionLoss')
