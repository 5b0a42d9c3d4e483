from .base import ShowHook
from .choose import show_hook_for
from .dense import DenseShowHook
from .pose import PoseShowHook

__all__ = ['DenseShowHook', 'PoseShowHook', 'ShowHook', 'show_hook_for']
