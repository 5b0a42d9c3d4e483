from .dense import DenseHead
from .heatmap import HeatmapHead

__all__ = ['DenseHead', 'HeatmapHead']
