"""From the checkpoint of a training to a file and a card of :mod:`sapiens.weights`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sapiens import weights
from sapiens.apis.loading.load_model import load_model
from sapiens.checkpoints import Entry, find
from sapiens.utils.checkpoint import read_checkpoint, save_weights
from sapiens.utils.files import atomic_path

from .probe import TOLERANCE, differences, leave_out_ties, pictures, probe

__all__ = ['CARD', 'Packed', 'pack', 'require_own']

CARD = {
    'made_from': 'data, with the license of each',
    'commands': 'what was run, in order',
    'commit': 'of the code that was run',
    'hours': 'of training, and on what',
    'scores': 'by name',
    'limits': 'what the weights cannot do',
}
"""Keys of a card that whoever trains gives. Packing adds name, license, config, iteration, files and predictions."""
POSITIONS = 'pos_embed'
TIES = 0.01  # of the keypoints: those with two places, between which half precision decides
RAW = 0.01  # largest difference of the raw outputs in half precision, over their largest value


@dataclass(frozen=True)
class Packed:
    """Files that were written.

    Attributes:
        weights, card: paths.
        encoder: path of the file of the encoder, None if the weights have it themselves.
        bytes: of the weights, without the encoder's file.
        raw: largest difference of raw outputs over their largest value, against single precision.
        decoded: largest difference of predictions, in the units of :data:`.probe.TOLERANCE`.
    """

    weights: Path
    card: Path
    encoder: Path | None
    bytes: int
    raw: float
    decoded: float

    def __str__(self) -> str:
        shared = f', encoder in {self.encoder.name}' if self.encoder else ''
        return (
            f'{self.weights}: {self.bytes / 1e6:.2f} MB{shared}; half precision changes raw outputs by {self.raw:.2%} of their '
            f'largest value and predictions by {self.decoded:.3g}'
        )


def require_own(name: str) -> Entry:
    """The entry of weights of the package, by name or without its first parts: ``pose17``.

    Raises:
        ValueError: another model.
    """
    entry = find(name if name.startswith('sapiens') else f'sapiens-tiny-{name}')
    if not entry.is_own:
        raise ValueError(
            f'{name} is published elsewhere; weights of the package are sapiens-tiny-person, -pose17, ...'
        )
    return entry


def pack(
    name: str,
    checkpoint: str | Path,
    about: Mapping[str, Any],
    encoder: str | None = None,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Packed:
    """Write weights in half precision, and their card.

    The weights are those that a test of the checkpoint has: the average where the training kept one (EMA). Optimizer and other
    state stay behind. The file is read again, and must predict the same as single precision within limits.

    Args:
        name: of weights of the package.
        checkpoint: of a training by the config of the name, or of a model of several tasks.
        about: the keys of :data:`CARD`.
        encoder: name of a file for the encoder, beside the other one, which several weights share. If it exists, its tensors must
            be equal to those of the checkpoint.
        folder: instead of that of the package.
        say: takes a line for each step.

    Raises:
        ValueError: keys of the card are missing; weights that do not fit, or are too large for half precision; a file above the
            limit; an encoder that differs; predictions that differ by more than the limits. Nothing is left then.
    """
    entry = require_own(name)
    if problems := sorted(CARD.keys() ^ about.keys()):
        raise ValueError(f'the card of {entry.name} needs exactly {", ".join(CARD)}; check {", ".join(problems)}')
    folder = weights.weights_folder() if folder is None else folder
    target, iteration = folder / entry.names[0], read_checkpoint(checkpoint).meta.get('iter')
    model = load_model(entry.config, checkpoint, device='cpu')
    single = model.network
    state = {key: _halved(key, value) for key, value in single.state_dict().items()}
    meta = dict(task=entry.task, name=entry.name)
    shared = None
    if encoder is not None:
        shared, own = _share(folder, encoder, state)
        meta['encoder_file'] = encoder
        state = {key: value for key, value in state.items() if key in own or not key.startswith('backbone.')}
    with atomic_path(target, keep_suffix=True) as temporary:
        save_weights(state, temporary, meta)
        temporary.chmod(0o644)  # it is written for its owner alone, and wheels keep that
        size = temporary.stat().st_size
        if size > weights.LARGEST:
            raise ValueError(f'{entry.name} takes {size} bytes, more than {weights.LARGEST}: share the encoder')
        half = load_model(entry.config, temporary, device='cpu')
        raw = _raw_difference(single, half.network)
        if not raw <= RAW:
            raise ValueError(f'{entry.name}: half precision changes raw outputs by {raw:.2%} of their largest value')
        found, expected = probe(half), probe(model)
        ties, total = leave_out_ties(found, expected)
        if ties > TIES * total:
            raise ValueError(f'{entry.name}: half precision moves {ties} of {total} keypoints by more than a pixel')
        change = differences(found, expected)
        decoded, limit = max(change.values()), TOLERANCE[next(iter(found[next(iter(found))]))]
        if not decoded <= limit:
            raise ValueError(
                f'{entry.name}: half precision changes predictions by {decoded:.3g}, more than {limit}: {change}'
            )
    card = dict(
        name=entry.name,
        licence=entry.licence,
        config=entry.config,
        iteration=iteration,
        parameters=sum(value.numel() for value in single.parameters()),
        **{key: about[key] for key in CARD},
        files={file.name: weights.sha256_of(file) for file in (target, *([shared] if shared else []))},
        predictions=found,
    )
    path = target.with_suffix('.json')
    with atomic_path(path) as temporary:
        temporary.write_text(_as_text(card), encoding='utf-8')
    packed = Packed(target, path, shared, size, raw, decoded)
    say(str(packed))
    return packed


def _halved(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    half = value.half()
    if not half.isfinite().all():
        raise ValueError(f'{name} has values up to {value.abs().max():.3g}, which half precision cannot hold')
    return half


def _share(folder: Path, name: str, state: Mapping[str, Tensor]) -> tuple[Path, set[str]]:
    """Write the file of the encoder, or compare it with the weights. Returns its path and what stays in the file of the head:
    the position embedding of inputs of another size."""
    if Path(name).name != name or not name.endswith('.safetensors'):
        raise ValueError(f'encoder={name!r}: expected the name of a file beside the weights that ends in .safetensors')
    path = folder / name
    own = {key.removeprefix('backbone.'): value for key, value in state.items() if key.startswith('backbone.')}
    if not path.is_file():
        save_weights(own, path, dict(task='pretrain'))
        path.chmod(0o644)
        return path, set()
    other = read_checkpoint(path).state_dict
    kept = {POSITIONS} if POSITIONS in own and own[POSITIONS].shape != other[POSITIONS].shape else set()
    own, other = ({key: value for key, value in part.items() if key not in kept} for part in (own, other))
    differing = [key for key in own if key not in other or not torch.equal(own[key], other[key])]
    if differing or len(own) != len(other):
        raise ValueError(
            f'{path} holds another encoder: {len(differing)} of {len(own)} tensors differ, such as {differing[:1]}. Train the '
            'head on this one (freeze the encoder), or pack without sharing'
        )
    return path, {f'backbone.{key}' for key in kept}


@torch.inference_mode()
def _raw_difference(single: nn.Module, half: nn.Module) -> float:
    """Largest difference of the raw outputs for the pictures, over their largest value."""
    largest = scale = 0.0
    height, width = single.backbone.img_size
    for _, image in pictures():
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        pixels = nn.functional.interpolate(pixels, (height, width), mode='area')
        outputs = [_tensors(model(model.data_preprocessor.normalize(pixels))) for model in (single, half)]
        for first, second in zip(*outputs, strict=True):
            largest = max(largest, float((first - second).abs().max()))
            scale = max(scale, float(first.abs().max()))
    return largest / max(scale, 1e-12)


def _tensors(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, Mapping) else outputs
    return [tensor for value in values for tensor in _tensors(value)]


def _as_text(card: Mapping) -> str:
    """JSON, indented, with the predictions of each picture on one line."""
    rest = {key: value for key, value in card.items() if key != 'predictions'}
    lines = [f'  {json.dumps(name)}: {json.dumps(row)}' for name, row in card['predictions'].items()]
    head = json.dumps(rest, indent=1, ensure_ascii=False)[:-2]
    return f'{head},\n "predictions": {{\n{",".join(chr(10) + line for line in lines).lstrip(chr(10))}\n }}\n}}\n'
