"""Datasets, samplers and collation. Importing it registers everything; the transforms are in ``transforms``."""

from . import transforms
from .collate import stack_collate
from .combined import CombinedDataset
from .depth_normal import GeometryDataset
from .draw import Draw, seed_everything_for
from .image_folder import ImageFolder
from .image_list import ImageList
from .joint import JointDataset
from .keypoints import KeypointDataset
from .matting import MattingDataset
from .mosaic import MosaicDataset
from .multi_task import MultiTaskDataset, TaskSampler
from .person_boxes import PersonBoxDataset
from .samplers import ResumableSampler
from .segmentation import SegmentationDataset
from .shard_order import ShardSampler
from .synthetic_humans import SyntheticHumans
from .tar_shards import TarShards

__all__ = [
    'CombinedDataset',
    'Draw',
    'GeometryDataset',
    'ImageFolder',
    'ImageList',
    'JointDataset',
    'KeypointDataset',
    'MattingDataset',
    'MosaicDataset',
    'MultiTaskDataset',
    'PersonBoxDataset',
    'ResumableSampler',
    'SegmentationDataset',
    'ShardSampler',
    'SyntheticHumans',
    'TarShards',
    'TaskSampler',
    'seed_everything_for',
    'stack_collate',
    'transforms',
]
