"""Losses of pose: cross entropy over the cells of narrow heatmaps, squared errors, and these for the hardest keypoints only."""

_mse = {'pose:model.losses': dict(type='HeatmapMSELoss')}
_hard = {'pose:model.losses': dict(type='HeatmapMSELoss', top_k=8)}
metrics = {'pose:AP': 'higher'}
reference = 'squared-error'
checks = ['cross-entropy.pose:AP > squared-error.pose:AP', 'hard-keypoints.pose:AP > squared-error.pose:AP']
