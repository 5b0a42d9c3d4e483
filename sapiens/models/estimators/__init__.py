from .dense import DenseEstimator
from .dense_task import DenseTask
from .dense_tasks import DepthTask, NormalTask, SegTask
from .pose import PoseEstimator

__all__ = ['DenseEstimator', 'DenseTask', 'DepthTask', 'NormalTask', 'PoseEstimator', 'SegTask']
