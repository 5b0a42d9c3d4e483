# SiLog with the faults of the published one (docs/differences.md).
_base_ = '../sapiens_1b_renderpeople-1024x768.py'

model = dict(losses=[dict(type='SiLogLoss', published=True)])
