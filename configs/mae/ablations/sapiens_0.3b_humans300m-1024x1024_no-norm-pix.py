# Targets are plain normalized pixels instead of patches of zero mean and unit variance.
_base_ = '../sapiens_0.3b_humans300m-1024x1024.py'

model = dict(norm_pix=False)
