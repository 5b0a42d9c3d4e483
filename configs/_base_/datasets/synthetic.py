# People rendered by the workers (docs/synthetic.md): new ones at every draw, and 64 fixed ones for validation.
train_dataset = dict(
    type='SyntheticHumans', length=100_000, size=(288, 384), people=(1, 2), labels=False, fixed=False, seed=0
)
val_dataset = dict(type='SyntheticHumans', length=64, size=(288, 384), people=(1, 2), labels=False, fixed=True, seed=1)
metric = dict(type='ReconstructionLoss')
