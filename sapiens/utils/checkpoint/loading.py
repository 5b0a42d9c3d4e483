"""Loading of weights into a model, with an account of every tensor."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..shards import agree, copy_whole, is_shard, local_rows
from .names_v2 import PREDICTOR
from .positions import fit_positions

__all__ = ['LoadReport', 'RefusedWeights', 'load_state']


@dataclass
class LoadReport:
    """The account of a load: names of tensors by what happened to them.

    Attributes:
        share: fraction of the backbone's elements (of the model's, without one) that were loaded.
        heads: a sentence for each last layer of a head with another number of outputs.
    """

    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    reinitialized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    share: float = 0.0
    part: str = 'backbone'
    source: str = ''

    @property
    def brief(self) -> str:
        """The report without names: what was loaded, and how much keeps its initial values."""
        kept = len(self.missing) + len(self.reinitialized)
        rest = f', {kept} other tensor{"" if kept == 1 else "s"} at initial values,' if kept else ''
        return f'{self.share:.1%} of the {self.part} loaded{rest} from {self.source}'

    def __str__(self) -> str:
        explain = {
            'loaded': 'copied',
            'resized': 'resized to this model',
            'reinitialized': 'of another shape in the file: initial values kept',
            'missing': 'not in the file: initial values kept',
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


class RefusedWeights(ValueError):
    """Weights that hardly fit a model.

    Attributes:
        state_dict: the weights.
    """

    def __init__(self, message: str, state_dict: dict[str, Tensor]) -> None:
        super().__init__(message)
        self.state_dict = state_dict


@torch.no_grad()
def load_state(
    model: nn.Module,
    state_dict: dict[str, Tensor],
    min_share: float = 0.5,
    source: str = '',
    required: str | None = None,
) -> LoadReport:
    """Copy weights into a model by name.

    The flat weights of an encoder go into ``model.backbone``, and the ``backbone.`` part of a whole model into a bare encoder.
    Position embeddings are fitted to a backbone with ``resize_positions``. For tensors of another shape the model keeps its
    initial values; a head with another number of keypoints or classes is reported. Persistent buffers count like parameters.

    Args:
        min_share: smallest fraction of the backbone (of the model, without one) that must be loaded.
        source: of the weights, for the report.
        required: all tensors whose names begin with it must be loaded: '' for the whole model, None for none.

    Raises:
        RefusedWeights: less than ``min_share`` or not what is ``required`` would be loaded, and the message has the report; or
            values are not finite or not floating point. The model is unchanged.
    """
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    weights, unused = _adapt_names(own, state_dict)
    weights = _name_predictor(model, weights)
    for name in _derived(model) - set(weights):
        del own[name]
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
            report.reinitialized.append(f'{name} {_shape(given)} in the file, {_shape(target)} here')
            is_head = bool(prefix) and not name.startswith(prefix)
            if is_head and name.endswith('.weight') and value.shape[1:] == target.shape[1:]:
                report.heads.append(
                    f'{name.removesuffix(".weight")} has {len(value)} outputs in the file and {len(target)} here: it keeps its '
                    'initial values'
                )
            continue
        if value is given:
            report.loaded.append(name)
        else:
            report.resized.append(f'{name} {_shape(given)} -> {_shape(value)}')
        chosen[name] = value
    report.unused = unused + [name for name in weights if name not in own]
    if any(name.removeprefix(prefix).startswith('tokenizer.') for name in report.unused):
        raise RefusedWeights(
            'the file has a tokenizer of windows (4K), which changes what its encoder computes, and this model has none: set '
            f'model.backbone.tokenizer=True. Nothing was changed.\n{report}',
            state_dict,
        )
    counted = {name: value.numel() for name, value in own.items() if name.startswith(prefix)}
    report.share = sum(counted.get(name, 0) for name in chosen) / max(1, sum(counted.values()))
    if report.share < min_share:
        raise RefusedWeights(
            f'only {report.share:.1%} of the {report.part} would be loaded, at least {min_share:.0%} are needed: these weights '
            f'are of another architecture, or their names differ. Nothing was changed.\n{report}',
            state_dict,
        )
    left = [name for name in own if required is not None and name.startswith(required) and name not in chosen]
    if left:
        raise RefusedWeights(
            f'{len(left)} of {len(own)} tensors would stay random, such as {left[-1]}: these weights are of another model. '
            f'Nothing was changed.\n{report}',
            state_dict,
        )
    # Of a model that is sharded, each process reads and checks its part only, and all must decide alike.
    problems = (
        f'{name} {problem}'
        for name, value in chosen.items()
        if (problem := _problem(local_rows(value, own[name]), own[name]))
    )
    if problem := agree(problems, any(map(is_shard, own.values()))):
        raise RefusedWeights(f'{source or "the weights"}: {problem}. Nothing was changed', state_dict)
    for name, value in chosen.items():
        copy_whole(own[name], value)
    return report


def _problem(value: Tensor, target: Tensor) -> str:
    """The fault of the values of a tensor, or ''."""
    if target.is_floating_point() and not value.is_floating_point():
        return f'has values of type {value.dtype}, expected floating point'
    if value.is_floating_point() and not value.float().sum().isfinite():  # the sum needs no memory
        return 'has values that are not finite: the training that wrote it has diverged, or the file is damaged'
    return ''


def _adapt_names(own: Iterable[str], state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the model's names, and the names outside the part that is used."""
    has_prefix = any(name.startswith('backbone.') for name in state_dict)
    wants_prefix = any(name.startswith('backbone.') for name in own)
    if wants_prefix and not has_prefix:
        return {f'backbone.{name}': value for name, value in state_dict.items()}, []
    if has_prefix and not wants_prefix:
        # The sub-tree only: a head may use names of an encoder.
        inside = {name: value for name, value in state_dict.items() if name.startswith('backbone.')}
        outside = [name for name in state_dict if name not in inside]
        return {name.removeprefix('backbone.'): value for name, value in inside.items()}, outside
    return dict(state_dict), []


def _name_predictor(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights whose last layer has no name of its own (see :data:`.names_v2.PREDICTOR`), with the name it has in the model."""
    name = getattr(getattr(model, 'head', None), 'predictor', None)
    if name is None or f'{PREDICTOR}.weight' not in weights:
        return weights
    own = f'{PREDICTOR.rpartition(".")[0]}.{name}'
    return {key.replace(PREDICTOR, own) if key.startswith(PREDICTOR) else key: value for key, value in weights.items()}


def _derived(model: nn.Module) -> set[str]:
    """Names in the state dict that follow from the options of the model, so that files without them are complete."""
    return {
        f'{path}.{name}'.removeprefix('.')
        for path, module in model.named_modules()
        for name in getattr(module, 'derived_state', ())
    }


def _shape(tensor: Tensor) -> str:
    return 'x'.join(map(str, tensor.shape)) or 'scalar'
