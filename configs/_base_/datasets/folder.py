# Any folder of images: $DATA_ROOT itself. Training and held-out images are the same: the loss shows fitting, not generalisation.
train_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}')
val_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}')
metric = dict(type='ReconstructionLoss')
