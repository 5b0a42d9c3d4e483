"""Published models and what files of weights are: names, families, recognition, and the shapes that files should have.

Reading files and copying weights into models is in :mod:`sapiens.utils.checkpoint`, below the models.
"""

from sapiens.utils.checkpoint import extract_task

from .encoder_config import published_encoder_config
from .expected_shapes import expected_shapes
from .families import FAMILIES, Family, family_of
from .huggingface import is_huggingface_folder, read_fields, read_huggingface_config, save_huggingface
from .load import explain_refusal, load_weights, read_weights
from .recognition import describe, recognise
from .resolve import checkpoint_root, require_starts, resolve_checkpoint, resolve_config, resolve_init_cfg
from .zoo import FORMS, LICENCES, ZOO, Entry, find, look_up, published_as

__all__ = [
    'FAMILIES',
    'FORMS',
    'LICENCES',
    'ZOO',
    'Entry',
    'Family',
    'checkpoint_root',
    'describe',
    'expected_shapes',
    'explain_refusal',
    'extract_task',
    'family_of',
    'find',
    'is_huggingface_folder',
    'load_weights',
    'look_up',
    'published_as',
    'published_encoder_config',
    'read_fields',
    'read_huggingface_config',
    'read_weights',
    'recognise',
    'require_starts',
    'resolve_checkpoint',
    'resolve_config',
    'resolve_init_cfg',
    'save_huggingface',
]
