# A Dice loss in addition to cross entropy, as in the second generation.
_base_ = ['../sapiens_1b_goliath-1024x768.py', '../../_base_/losses/seg.py']

model = dict(losses=_base_._losses['dice'])
