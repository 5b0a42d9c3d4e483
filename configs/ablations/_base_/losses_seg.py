"""Losses of segmentation: weights of the classes, by what the cross entropy is divided, and a Dice loss."""

_base_ = '../../_base_/losses/seg.py'

variants = [dict(name=name, options={'seg:model.losses': losses}) for name, losses in _base_._losses.items()]
metrics = {'seg:mIoU': 'higher', 'seg:aAcc': 'higher'}
checks = ['dice.seg:mIoU > class-weights.seg:mIoU', 'no-weights-dice.seg:mIoU > no-weights.seg:mIoU']
