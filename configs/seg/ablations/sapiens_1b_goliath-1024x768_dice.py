# A Dice loss in addition to cross entropy, as in the second generation.
_base_ = '../sapiens_1b_goliath-1024x768.py'

model = dict(
    losses=[
        dict(type='SegCrossEntropyLoss', class_weight='classes', average='pixels'),
        dict(type='SegDiceLoss'),
    ]
)
