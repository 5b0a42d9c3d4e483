from .curves import draw_curves, read_curves
from .depth import DepthPanelRow, draw_depth_panel
from .mae import draw_reconstructions
from .normal import NormalPanelRow, draw_normal_panel
from .openpose import draw_openpose
from .people import draw_part, draw_people
from .pose import PosePanelRow, draw_heatmaps, draw_pose, draw_pose_panel, skeleton_of
from .segmentation import SegPanelRow, draw_legend, draw_seg_panel, draw_wrong_pixels

__all__ = [
    'DepthPanelRow',
    'NormalPanelRow',
    'PosePanelRow',
    'SegPanelRow',
    'draw_curves',
    'draw_depth_panel',
    'draw_heatmaps',
    'draw_legend',
    'draw_normal_panel',
    'draw_openpose',
    'draw_part',
    'draw_people',
    'draw_pose',
    'draw_pose_panel',
    'draw_reconstructions',
    'draw_seg_panel',
    'draw_wrong_pixels',
    'read_curves',
    'skeleton_of',
]
