"""Losses of segmentation: weights of the classes, by what the cross entropy is divided, and a Dice loss."""

_dice = dict(type='SegDiceLoss', loss_weight=3.0)


_losses = {
    'class-weights': [dict(type='SegCrossEntropyLoss', class_weight='classes', average='pixels')],
    'no-weights': [dict(type='SegCrossEntropyLoss', class_weight=None, average='weights')],
    'normalized-weights': [dict(type='SegCrossEntropyLoss', class_weight='classes', average='weights')],
    'dice': [dict(type='SegCrossEntropyLoss', class_weight='classes', average='pixels'), dict(type='SegDiceLoss')],
    'no-weights-dice': [dict(type='SegCrossEntropyLoss', class_weight=None, average='weights'), _dice],
}
variants = [dict(name=name, options={'seg:model.losses': losses}) for name, losses in _losses.items()]
metrics = {'seg:mIoU': 'higher', 'seg:aAcc': 'higher'}
checks = ['dice.seg:mIoU > class-weights.seg:mIoU', 'no-weights-dice.seg:mIoU > no-weights.seg:mIoU']
