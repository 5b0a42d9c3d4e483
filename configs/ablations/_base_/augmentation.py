"""Augmentation of pose: ours, and photometric distortion and rule for few visible keypoints as published (docs/differences.md)."""

metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
checks = ['ours.pose:AP > published.pose:AP']
