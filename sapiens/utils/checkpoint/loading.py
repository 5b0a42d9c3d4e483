"""Putting weights into a model, with an account of every tensor."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .positions import fit_positions
from .recognition import describe, recognise

__all__ = ['LoadReport', 'load_state']


@dataclass
class LoadReport:
    """What became of each tensor.

    Attributes:
        share: of the backbone's elements (of the model's, without one) that were loaded.
        heads: a sentence for each last layer of a head whose number of outputs differs.
    """

    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    reinitialised: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    share: float = 0.0
    part: str = 'backbone'
    source: str = ''

    def __str__(self) -> str:
        explain = {
            'loaded': 'taken as they are',
            'resized': 'fitted to this model',
            'reinitialised': 'of another shape in the file: kept as initialised',
            'missing': 'not in the file: kept as initialised',
            'unused': 'in the file only',
        }
        origin = f' from {self.source}' if self.source else ''
        lines = [f'{self.share:.1%} of the {self.part} loaded{origin}']
        for name, why in explain.items():
            entries = getattr(self, name)
            if entries:
                first = ', '.join(entries[:4]) + (', ...' if len(entries) > 4 else '')
                lines.append(f'  {name:<13} {len(entries):>5}  {why}: {first}')
        return '\n'.join([*lines, *(f'  {sentence}' for sentence in self.heads)])


@torch.no_grad()
def load_state(
    model: nn.Module, state_dict: dict[str, Tensor], min_share: float = 0.5, source: str = ''
) -> LoadReport:
    """Copy weights into a model by name.

    An encoder's flat weights go into ``model.backbone``, and the ``backbone.`` part of a whole model's into a bare encoder.
    Position embeddings are fitted to a backbone with ``resize_positions``. Tensors of another shape are left as the model
    initialised them; a head whose number of keypoints or classes differs is named. Persistent buffers count like parameters.
    ``source`` names the weights in the report.

    Raises:
        ValueError: with the report and what the weights are instead, where less than ``min_share`` of the backbone would be
            loaded; nothing is changed.
    """
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    weights, unused = _adapt_names(own, state_dict)
    backbone = getattr(model, 'backbone', None)
    prefix = 'backbone.' if backbone is not None else ''
    encoder = model if backbone is None else backbone
    can_resize = hasattr(encoder, 'resize_positions')
    report, chosen = LoadReport(part='backbone' if prefix else 'model', source=source), {}
    for name, target in own.items():
        if name not in weights:
            report.missing.append(name)
            continue
        value = given = weights[name]
        is_position = can_resize and name.startswith(prefix) and name.endswith('pos_embed')
        if is_position and value.shape != target.shape and value.shape[-1:] == target.shape[-1:]:
            value = fit_positions(value, encoder, name)
        if value.shape != target.shape:
            report.reinitialised.append(f'{name} {_shape(given)} in the file, {_shape(target)} here')
            is_head = bool(prefix) and not name.startswith(prefix)
            if is_head and name.endswith('.weight') and value.shape[1:] == target.shape[1:]:
                report.heads.append(
                    f'{name.removesuffix(".weight")} has {len(value)} outputs in the file and {len(target)} here: it starts anew'
                )
            continue
        if value is given:
            report.loaded.append(name)
        else:
            report.resized.append(f'{name} {_shape(given)} -> {_shape(value)}')
        chosen[name] = value
    report.unused = unused + [name for name in weights if name not in own]
    counted = {name: value.numel() for name, value in own.items() if name.startswith(prefix)}
    report.share = sum(counted[name] for name in chosen if name in counted) / max(1, sum(counted.values()))
    if report.share < min_share:
        raise ValueError(
            f'only {report.share:.1%} of the {report.part} would be loaded, at least {min_share:.0%} are needed: these '
            f'weights are of another architecture, or their names differ. In the file: {describe(recognise(state_dict))}. '
            f'Nothing was changed.\n{report}'
        )
    for name, value in chosen.items():
        own[name].copy_(value)
    return report


def _adapt_names(own: Iterable[str], state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the model's names, and the names that are outside the part that was taken."""
    has_prefix = any(name.startswith('backbone.') for name in state_dict)
    wants_prefix = any(name.startswith('backbone.') for name in own)
    if wants_prefix and not has_prefix:
        return {f'backbone.{name}': value for name, value in state_dict.items()}, []
    if has_prefix and not wants_prefix:
        # The sub-tree only: a head may have names of its own that an encoder has too.
        inside = {name: value for name, value in state_dict.items() if name.startswith('backbone.')}
        outside = [name for name in state_dict if name not in inside]
        return {name.removeprefix('backbone.'): value for name, value in inside.items()}, outside
    return dict(state_dict), []


def _shape(tensor: Tensor) -> str:
    return 'x'.join(map(str, tensor.shape)) or 'scalar'
