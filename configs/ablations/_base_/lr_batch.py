"""Learning rate by batch, relative to the recipe, at equal images: whether the best rate grows linearly with the batch."""

_factors = (0.5, 1, 2)
_lr, _batch = 'pose:optim_wrapper.optimizer.lr', 'pose:train_dataloader.batch_size'
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
reference = 'lr-x1_batch-x1'
checks = [
    'lr-x2_batch-x2.pose:AP > lr-x1_batch-x2.pose:AP',
    'lr-x0.5_batch-x0.5.pose:AP > lr-x1_batch-x0.5.pose:AP',
]
