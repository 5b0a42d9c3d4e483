# Losses of pose, by name: squared errors, these for the 8 hardest keypoints of each person only, and the cross entropy over the
# cells of narrow heatmaps.
_losses = {
    'squared-error': dict(type='HeatmapMSELoss'),
    'hard-keypoints': dict(type='HeatmapMSELoss', top_k=8),
    'cross-entropy': dict(type='HeatmapCrossEntropyLoss'),
}
