"""Metrics that keep sums instead of images."""

import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

__all__ = ['StreamingMetric', 'field_of', 'name_of']


class StreamingMetric(BaseMetric):
    """Sums over samples, each counted once, in memory that does not depend on the number of pixels.

    Samplers repeat samples until all processes have equally many. Sums cannot be separated afterwards, so each process holds
    back the sums of its last samples, as many as there are processes, until all are merged. A sample (``sample_idx`` and
    ``img_path``) that occurs again counts once. In addition to the sums, 8 bytes are kept for each sample.

    With ``by_sample`` the sums of every sample are kept by themselves: :meth:`take` and :meth:`put` move them to and from a file,
    and :meth:`redrawn` counts samples several times or not at all.

    A subclass defines the sums of a sample (:meth:`measure`) and the metrics from the sums (:meth:`report`).

    Args:
        prefix: reported as ``prefix/...``; default: the metric's own.
        collect_device, collect_dir: see :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: samples without an identity, or samples that several processes share other than at their ends.
    """

    # Whether :meth:`measure` gets the network's input, where the batch has it: ``inputs``, (3, h, w) uint8 RGB.
    needs_inputs = False
    by_sample = False

    def __init__(self, prefix: str | None = None, collect_device: str = 'cpu', collect_dir: str | None = None):
        super().__init__(collect_device, prefix, collect_dir)
        self._reset()

    def _reset(self) -> None:
        self._seen: set[int] = set()
        self._settled: dict = {}  # sums over all seen samples but the waiting ones
        self._waiting: deque[tuple[int, dict]] = deque()
        self._examples: dict[str, str] = {}

    @abstractmethod
    def measure(self, sample: dict) -> dict:
        """The sums of a sample: numbers and arrays that can be added, on the CPU."""

    @abstractmethod
    def report(self, sums: dict) -> dict[str, float]:
        """The metrics, from the sums over all samples; ``sums['samples']`` is their number, at least 1."""

    def note(self, what: str, sample: dict) -> dict:
        """Sums that mark an unusual sample; the log reports the number of such samples and the name of one."""
        self._examples.setdefault(what, name_of(sample))
        return {f'note: {what}': 1}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        inputs = (data_batch or {}).get('inputs') if self.needs_inputs else None
        for index, sample in enumerate(data_samples):
            key = _key(sample)
            if key in self._seen:
                continue
            self._seen.add(key)
            if inputs is not None:
                sample = dict(sample, inputs=inputs[index])
            self._waiting.append((key, dict(self.measure(sample), samples=1)))
            if not self.by_sample and len(self._waiting) > get_world_size():
                _add(self._settled, self._waiting.popleft()[1])

    def take(self) -> list:
        """Hand over the samples since the last call, in plain values and arrays, and forget them; needs ``by_sample``."""
        taken = [[key, sums, self._examples] for key, sums in self._waiting]
        self._reset()
        return taken

    def put(self, records: list) -> None:
        """Add samples that :meth:`take` has handed over, here or in another process."""
        for key, sums, examples in records:
            if key not in self._seen:
                self._seen.add(key)
                self._waiting.append((key, sums))
                self._examples = {**examples, **self._examples}

    @property
    def num_units(self) -> int:
        """Number of samples that are there by themselves."""
        return len(self._waiting)

    def redrawn(self, draws: Iterable[np.ndarray]) -> Iterator[dict[str, float]]:
        """The metrics, without the prefix, over each draw: positions of samples, as often as they count."""
        every = [sums for _, sums in self._waiting]
        names = {name for sums in every for name in sums if not name.startswith('note: ')}
        columns = {}
        for name in names:
            like = np.asarray(next(sums[name] for sums in every if name in sums))
            columns[name] = np.stack([np.asarray(sums.get(name, np.zeros_like(like))) for sums in every])
        for draw in draws:
            weights = np.bincount(draw, minlength=len(every))
            yield self.report({name: np.tensordot(weights, values, 1)[()] for name, values in columns.items()})

    def evaluate(self, size: int) -> dict:
        waiting = {key for key, _ in self._waiting}
        seen, held = self._seen - waiting, list(self._waiting)
        self.results = [dict(seen=seen, settled=self._settled, waiting=held, examples=self._examples, size=size)]
        self._reset()
        return super().evaluate(get_world_size())  # one result for each process

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        counted: set[int] = set()
        sums: dict = {}
        for part in results:
            shared = counted & part['seen']
            if shared:
                raise ValueError(
                    f'{self.prefix}: {len(shared)} samples were evaluated by several processes, and not as the last ones of '
                    'any: use a sampler that gives each sample to one process (DefaultSampler, ResumableSampler)'
                )
            counted |= part['seen']
            _add(sums, part['settled'])
        for part in results:
            for key, measured in part['waiting']:
                if key not in counted:
                    counted.add(key)
                    _add(sums, measured)
        if len(counted) < results[0]['size']:
            self._warn(f'{len(counted)} of {results[0]["size"]} samples were evaluated')
        for name in sorted(name for name in sums if name.startswith('note: ')):
            what = name.removeprefix('note: ')
            example = next(part['examples'][what] for part in results if what in part['examples'])
            self._warn(f'{sums[name]} of {len(counted)} samples {what}, among them {example}')
        return self.report(sums) if counted else {}

    def _warn(self, text: str) -> None:
        print_log(f'{self.prefix}: {text}', 'current', logging.WARNING)


def _add(total: dict, more: dict) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _key(sample: dict) -> int:
    index, path = sample.get('sample_idx'), sample.get('img_path')
    if index is None and path is None:
        raise ValueError(
            'a sample has neither sample_idx nor img_path, so its repetitions in distributed tests cannot be recognized: let '
            'the pipeline pack one of them'
        )
    return int.from_bytes(blake2b(f'{index} {path}'.encode(), digest_size=8).digest(), 'big')


def name_of(sample: dict) -> str:
    """Name of a sample in messages."""
    path = sample.get('img_path')
    return f'sample {sample.get("sample_idx")}' if path is None else str(path)


def field_of(sample: dict, name: str, like: torch.Tensor | None = None) -> torch.Tensor:
    """A field of a sample as a tensor: on the device where it is, or on that of ``like``, whose (H, W) it must have.

    Fields on Apple's GPUs move to the CPU, since those have no float64.

    Raises:
        ValueError: no such field, or another (H, W).
    """
    if name not in sample:
        raise ValueError(
            f'{name_of(sample)} has no {name}: evaluation needs predictions and labels; the sample has '
            f'{", ".join(sorted(map(str, sample)))}'
        )
    value = sample[name]
    value = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(value))
    if value.device.type == 'mps':
        value = value.cpu()
    if like is None:
        return value
    if value.shape[-2:] != like.shape[-2:]:
        raise ValueError(
            f'{name_of(sample)}: {name} is {tuple(value.shape[-2:])} (H, W), but the prediction is '
            f'{tuple(like.shape[-2:])}: predictions are compared at the size of the labels'
        )
    return value.to(like.device)
