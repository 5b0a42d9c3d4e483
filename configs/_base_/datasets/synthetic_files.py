# Rendered people on disk, pictures only; made as datasets/synthetic17.py says.
train_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}/synthetic/train/rgb')
val_dataset = dict(type='ImageFolder', data_root='{{$DATA_ROOT:data}}/synthetic/val/rgb')
metric = dict(type='ReconstructionLoss')
