# A loss that is invariant to scale and shift, and a gradient loss at four scales.
_base_ = ['../sapiens_1b_renderpeople-1024x768.py', '../../_base_/losses/depth.py']

model = dict(losses=_base_._losses['scale-shift-invariant'])
