from .albedo import draw_albedo, draw_albedo_panel
from .backends import MLflowVisBackend, WandbVisBackend
from .boxes import draw_boxes
from .curves import draw_curves, read_curves
from .dense_panel import DenseRow
from .depth import draw_depth_panel
from .legend import draw_legend
from .mae import draw_reconstructions
from .map_panel import draw_map_panel
from .matting import MattingRow, draw_matting_panel
from .normal import draw_normal_panel
from .openpose import draw_openpose
from .people import draw_part, draw_people
from .pointmap import draw_inverse_depth, draw_pointmap_panel
from .pose import draw_heatmaps, draw_pose, skeleton_of
from .pose_panel import PosePanelRow, draw_pose_panel
from .segmentation import draw_seg_panel, draw_wrong_pixels
from .tensorboard import SPEED_AND_MEMORY, TensorboardVisBackend

__all__ = [
    'SPEED_AND_MEMORY',
    'DenseRow',
    'MLflowVisBackend',
    'MattingRow',
    'PosePanelRow',
    'TensorboardVisBackend',
    'WandbVisBackend',
    'draw_albedo',
    'draw_albedo_panel',
    'draw_boxes',
    'draw_curves',
    'draw_depth_panel',
    'draw_heatmaps',
    'draw_inverse_depth',
    'draw_legend',
    'draw_map_panel',
    'draw_matting_panel',
    'draw_normal_panel',
    'draw_openpose',
    'draw_part',
    'draw_people',
    'draw_pointmap_panel',
    'draw_pose',
    'draw_pose_panel',
    'draw_reconstructions',
    'draw_seg_panel',
    'draw_wrong_pixels',
    'read_curves',
    'skeleton_of',
]
