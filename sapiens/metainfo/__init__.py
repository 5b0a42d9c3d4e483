"""Skeletons and class lists as plain data, and conversions between them."""

from .build import build_metainfo, dataset_metainfo, get_skeleton, register_skeleton, skeleton_names
from .classes import ClassList, class_list_from_dict, get_classes, register_classes, remap_table
from .convert_keypoints import convert_keypoints, match_keypoints
from .correspondence import Match, correspondences
from .skeleton import Skeleton, skeleton_from_dict

__all__ = [
    'ClassList',
    'Match',
    'Skeleton',
    'build_metainfo',
    'class_list_from_dict',
    'convert_keypoints',
    'correspondences',
    'dataset_metainfo',
    'get_classes',
    'get_skeleton',
    'match_keypoints',
    'register_classes',
    'register_skeleton',
    'remap_table',
    'skeleton_from_dict',
    'skeleton_names',
]
