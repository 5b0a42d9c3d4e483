"""Losses of pose: cross entropy over the cells of narrow heatmaps, squared errors, and these for the hardest keypoints only."""

_base_ = '../../_base_/losses/pose.py'

metrics = {'pose:AP': 'higher'}
reference = 'squared-error'
checks = ['cross-entropy.pose:AP > squared-error.pose:AP', 'hard-keypoints.pose:AP > squared-error.pose:AP']
