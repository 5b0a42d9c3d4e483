from .mae import draw_reconstructions
from .pose import PosePanelRow, draw_heatmaps, draw_pose, draw_pose_panel, skeleton_of

__all__ = ['PosePanelRow', 'draw_heatmaps', 'draw_pose', 'draw_pose_panel', 'draw_reconstructions', 'skeleton_of']
