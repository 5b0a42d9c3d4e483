from .bad_data import BadDataHook
from .checkpoint import CheckpointHook
from .reconstruction import ReconstructionHook
from .stop import StopHook
from .throughput import ThroughputHook

__all__ = ['BadDataHook', 'CheckpointHook', 'ReconstructionHook', 'StopHook', 'ThroughputHook']
