"""Weights: reading them from any file, putting them into a model with an account of every tensor, telling what they are.

Nothing but tensors and plain values is unpickled: a file cannot execute anything.
"""

from .archive import patch_padding_of
from .loading import LoadReport, load_state
from .reading import Checkpoint, read_checkpoint
from .recognition import describe, recognise
from .shapes import expected_shapes
from .writing import save_weights

__all__ = [
    'Checkpoint',
    'LoadReport',
    'describe',
    'expected_shapes',
    'load_state',
    'patch_padding_of',
    'read_checkpoint',
    'recognise',
    'save_weights',
]
