"""How the error of a finetuned pose model falls with the steps of pretraining and with the number of labels."""

_labels = {1: 0.01, 10: 0.1, 100: 1.0}
_part = 'pose:+train_dataloader.dataset.part'
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
