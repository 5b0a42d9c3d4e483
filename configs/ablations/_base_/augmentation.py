"""Augmentation of pose: ours, without changes of color, and as published (docs/differences.md): its photometric distortion, and
its rule for people with few visible keypoints."""

metrics = {'pose:AP': 'higher', 'pose:val_loss': 'lower'}
checks = ['ours.pose:AP > published.pose:AP']
