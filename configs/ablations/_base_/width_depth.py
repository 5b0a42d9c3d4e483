"""Wide and shallow or narrow and deep encoders, at about equal operations of the blocks: layers times width squared."""

metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower', 'seg:mIoU': 'higher'}
reference = 'base'
checks = ['deep.pose:AP > base.pose:AP', 'base.pose:AP > shallow.pose:AP']
