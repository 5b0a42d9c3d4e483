from .heatmap import HeatmapHead

__all__ = ['HeatmapHead']
