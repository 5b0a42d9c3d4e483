# The mask ratio of the released weights.
_base_ = '../sapiens_0.3b_humans300m-1024x1024.py'

model = dict(mask_ratio=0.75)
