from .pose import PoseEstimator

__all__ = ['PoseEstimator']
