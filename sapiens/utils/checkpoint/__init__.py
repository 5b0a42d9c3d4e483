"""Files of weights: reading any form, loading into a model with an account of every tensor, writing.

Nothing but tensors and plain values is unpickled: a file cannot execute anything. Names of published models and what a file holds
are known to :mod:`sapiens.checkpoints`.
"""

from .adapters import original_names
from .archive import patch_padding_of
from .limits import check_zip, limited_memory
from .loading import LoadReport, RefusedWeights, load_state
from .reading import Checkpoint, diagnose, read_checkpoint, require_checkpoint
from .restricted import load_restricted
from .several_tasks import as_member, extract_task, names_of_tasks
from .sharded import STATE, check_description
from .start import START_KEYS, load_encoder_start, load_head_start, named_start
from .writing import save_weights

__all__ = [
    'START_KEYS',
    'STATE',
    'Checkpoint',
    'LoadReport',
    'RefusedWeights',
    'as_member',
    'check_description',
    'check_zip',
    'diagnose',
    'extract_task',
    'limited_memory',
    'load_encoder_start',
    'load_head_start',
    'load_restricted',
    'load_state',
    'named_start',
    'names_of_tasks',
    'original_names',
    'patch_padding_of',
    'read_checkpoint',
    'require_checkpoint',
    'save_weights',
]
