# Losses of segmentation, by name: weights of the classes, by what the cross entropy is divided, and a Dice loss.
_losses = {
    'class-weights': [dict(type='SegCrossEntropyLoss', class_weight='classes', average='pixels')],
    'no-weights': [dict(type='SegCrossEntropyLoss', class_weight=None, average='weights')],
    'normalized-weights': [dict(type='SegCrossEntropyLoss', class_weight='classes', average='weights')],
    'dice': [dict(type='SegCrossEntropyLoss', class_weight='classes', average='pixels'), dict(type='SegDiceLoss')],
    'no-weights-dice': [
        dict(type='SegCrossEntropyLoss', class_weight=None, average='weights'),
        dict(type='SegDiceLoss', loss_weight=3.0),
    ],
}
