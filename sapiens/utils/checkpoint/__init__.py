"""Files of weights: reading any form, loading into a model with an account of every tensor, writing.

Nothing but tensors and plain values is unpickled: a file cannot execute anything. Names of published models and what a file holds
are known to :mod:`sapiens.checkpoints`.
"""

from .archive import patch_padding_of
from .limits import check_zip, limited_memory
from .loading import LoadReport, RefusedWeights, load_state
from .reading import Checkpoint, diagnose, read_checkpoint, require_checkpoint
from .writing import save_weights

__all__ = [
    'Checkpoint',
    'LoadReport',
    'RefusedWeights',
    'check_zip',
    'diagnose',
    'limited_memory',
    'load_state',
    'patch_padding_of',
    'read_checkpoint',
    'require_checkpoint',
    'save_weights',
]
