# Cross entropy divided by the sum of the weights, not by the number of pixels.
_base_ = ['../sapiens_1b_goliath-1024x768.py', '../../_base_/losses/seg.py']

model = dict(losses=_base_._losses['normalized-weights'])
