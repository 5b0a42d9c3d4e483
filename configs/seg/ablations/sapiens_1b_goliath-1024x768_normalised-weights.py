# Cross entropy divided by the sum of the weights, not by the number of pixels.
_base_ = '../sapiens_1b_goliath-1024x768.py'

model = dict(losses=[dict(type='SegCrossEntropyLoss', class_weight='classes', average='weights')])
