# Images of rendered people on disk without labels. datasets/synthetic17.py has the command.
train_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}/synthetic/train/rgb')
val_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}/synthetic/val/rgb')
metric = dict(type='ReconstructionLoss')
