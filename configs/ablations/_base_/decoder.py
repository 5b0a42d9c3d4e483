"""The decoder of pretraining: its depth and width, the fraction of removed patches that it decodes, and normalized targets."""

_decoder = 'pretrain:model.decoder'
metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower', 'seg:mIoU': 'higher'}
reference = 'base'
checks = ['share-0.25.pose:AP > base.pose:AP - 0.01', 'base.pose:AP > no-norm-pix.pose:AP']
