# A loss that is invariant to scale and shift, and a gradient loss at four scales.
_base_ = '../sapiens_1b_renderpeople-1024x768.py'

model = dict(losses=[dict(type='ScaleShiftInvariantLoss'), dict(type='DepthGradientLoss', invariant=True)])
