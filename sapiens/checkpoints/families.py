"""The families of published models: their license, their sizes, and the tensors that tell them apart.

Sizes alone do not: the second family's 0.4b, 0.8b and 1b have the width and depth of the first one's 0.3b, 0.6b and 1b.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sapiens.models.backbones.archs import SAPIENS2_ARCHS, SAPIENS_ARCHS

__all__ = ['FAMILIES', 'Family', 'family_of']


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        name: first part of the names of its models (``sapiens-pose-1b``) and of its sizes (``sapiens_1b``).
        licence: of its weights, a key of the zoo's table of licenses.
        archs: ``embed_dims`` and ``num_layers`` (at least) by size.
        blocks: name of the list of blocks in the encoder.
        marks: patterns of tensor names, without the prefix of the encoder, that all of its checkpoints have and no other family.
        default_size: for trainings where none is named.
        named_heads: whether the last layer of a head is called after its task (``decode_head.conv_<task>``). Otherwise tasks
            differ in the layers of their published heads.
        schedule: config of the published optimizer, below ``configs/``, which sizes and tasks complete; None where each recipe
            sets its own.
    """

    name: str
    licence: str
    archs: Mapping[str, dict]
    blocks: str
    marks: tuple[str, ...]
    default_size: str
    named_heads: bool = False
    schedule: str | None = None

    def size_of(self, embed_dims: int, num_layers: int) -> str | None:
        """Name of the size with this width and depth; None for a size that has no name."""
        for size, arch in self.archs.items():
            if (arch['embed_dims'], arch['num_layers']) == (embed_dims, num_layers):
                return size
        return None


FAMILIES = {
    family.name: family
    for family in (
        Family(
            name='sapiens',
            licence='cc-by-nc-4.0',
            archs=SAPIENS_ARCHS,
            blocks='layers',
            marks=(r'pos_embed', r'layers\.\d+\.ffn\.layers\.0\.0\.weight'),
            default_size='0.3b',
        ),
        Family(  # rotary positions, storage tokens, one packed layer before SwiGLU
            name='sapiens2',
            licence='sapiens2-license',
            archs=SAPIENS2_ARCHS,
            blocks='blocks',
            marks=(r'storage_tokens', r'blocks\.\d+\.ffn\.w12\.weight'),
            default_size='0.4b',
            named_heads=True,
            schedule='_base_/schedules/sapiens2.py',
        ),
    )
}


def family_of(names: Iterable[str], prefix: str = '') -> Family | None:
    """The family whose marks are all among the tensor names of an encoder below ``prefix``; None where it is none."""
    names = list(names)
    for family in FAMILIES.values():
        marks = [re.compile(re.escape(prefix) + mark) for mark in family.marks]
        if all(any(map(mark.fullmatch, names)) for mark in marks):
            return family
    return None
