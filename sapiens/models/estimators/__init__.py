from .dense import DenseEstimator
from .dense_tasks import DenseTask, DepthTask, NormalTask, SegTask
from .pose import PoseEstimator

__all__ = ['DenseEstimator', 'DenseTask', 'DepthTask', 'NormalTask', 'PoseEstimator', 'SegTask']
