from .heatmap import HeatmapCrossEntropyLoss, HeatmapMSELoss

__all__ = ['HeatmapCrossEntropyLoss', 'HeatmapMSELoss']
