"""How published scores were measured, and what each needs. The scores are in ``sapiens/checkpoints/zoo.json``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sapiens.checkpoints import ZOO, Entry, find
from sapiens.metainfo.naming import not_known

__all__ = ['PROTOCOLS', 'Protocol', 'Target', 'all_targets', 'find_targets']

PERCENT = 100.0
_QUOTED = 'The scores are taken from texts that quote the paper.'
_NOT_PUBLIC = 'The test images are not public.'


@dataclass(frozen=True)
class Protocol:
    """An evaluation that scores were published of.

    Attributes:
        metrics: {published name: metrics of the config's evaluator whose mean it is}.
        scale: published number over the value of the metric.
        data: data sets that ``sapiens prepare`` knows; empty for images that are not public.
        word: data in the name of the config; '' for the config of the model itself.
        notes: what is inferred, and where the scores are from.
        blocked: why nobody else can measure it; '' where images with labels are all that is needed.
    """

    name: str
    metrics: dict[str, tuple[str, ...]]
    scale: float = 1.0
    data: tuple[str, ...] = ()
    word: str = ''
    notes: str = ''
    blocked: str = ''

    def config_of(self, entry: Entry) -> str:
        """Config of the evaluation of a model."""
        if not self.word:
            return entry.config
        return re.sub(r'_[^_/]+-(\d+x\d+\.py)$', rf'_{self.word}-\1', entry.config)

    def metrics_of(self, score: str) -> tuple[str, ...]:
        """Metrics of a published score. A text may give another number: 'AP in the pose guide'."""
        return self.metrics[score.partition(' in ')[0]]


_ALL = (
    Protocol(
        'coco',
        dict(AP=('coco/AP',), AR=('coco/AR',)),
        PERCENT,
        data=('coco',),
        notes='val2017, boxes of the 70 AP detector, flip test.',
    ),
    Protocol(
        'coco-wholebody',
        {
            'AP': ('coco-wholebody/AP',),
            'AR': ('coco-wholebody/AR',),
            'body AP': ('coco-wholebody/body_AP',),
            'foot AP': ('coco-wholebody/foot_AP',),
            'face AP': ('coco-wholebody/face_AP',),
            'hand AP': ('coco-wholebody/left_hand_AP', 'coco-wholebody/right_hand_AP'),
        },
        PERCENT,
        data=('coco', 'coco-wholebody'),
        notes='val2017, boxes of the 70 AP detector, flip test. That AP of the hands is the mean of both is inferred.',
    ),
    Protocol('goliath', dict(AP=('goliath/AP',)), PERCENT, notes=f'5,000 images. {_NOT_PUBLIC}'),
    Protocol(
        'goliath-parts',
        dict(mIoU=('seg/mIoU',), mAcc=('seg/mAcc',)),
        PERCENT,
        notes=f'28 classes. {_NOT_PUBLIC} mAcc is taken from texts that quote the paper.',
    ),
    Protocol(
        'hi4d-depth',
        dict(RMSE=('hi4d_scale-shift/RMSE',), AbsRel=('hi4d_scale-shift/AbsRel',)),
        data=('hi4d',),
        word='hi4d',
        notes=f'Inferred points: docs/tasks/depth.md. {_QUOTED}',
    ),
    Protocol(
        'hi4d-normal',
        dict(mean=('hi4d_normal/mean',)),
        data=('hi4d',),
        word='hi4d',
        notes=f'Degrees. Inferred points: docs/tasks/depth.md. {_QUOTED}',
    ),
    Protocol(
        'thuman2-normal',
        dict(mean=('thuman2_normal/mean',)),
        data=('thuman2',),
        word='thuman2',
        notes=f'Degrees. The virtual cameras are not public. {_QUOTED}',
    ),
    Protocol('sapiens2-pose', dict(AP=('goliath/AP',)), PERCENT, notes=f'11,000 images. {_NOT_PUBLIC}'),
    Protocol('sapiens2-parts', dict(mIoU=('seg/mIoU',)), PERCENT, notes=f'29 classes. {_NOT_PUBLIC}'),
    Protocol(
        'sapiens2-normal', dict(mean=('normal/mean',)), notes=f'Degrees. {_NOT_PUBLIC}', blocked='its test images are not public'
    ),
    Protocol(
        'sapiens2-pointmap',
        dict(L2=('pointmap/canonical_L2',)),
        notes=f'Canonical units. {_NOT_PUBLIC}',
        blocked='its test images are not public',
    ),
)  # fmt: skip

PROTOCOLS = {one.name: one for one in _ALL}


@dataclass(frozen=True)
class Target:
    """The scores of one published model by one protocol."""

    entry: Entry
    protocol: Protocol

    @property
    def name(self) -> str:
        return f'{self.entry.name}/{self.protocol.name}'

    @property
    def config(self) -> str:
        return self.protocol.config_of(self.entry)

    @property
    def scores(self) -> dict[str, str]:
        """The published numbers, with their digits."""
        return self.entry.published[self.protocol.name]

    def values(self, metrics: dict[str, float]) -> dict[str, float]:
        """Scores from metrics, on the scale of the published ones."""
        found = {}
        for score in self.scores:
            parts = [metrics[name] for name in self.protocol.metrics_of(score)]
            found[score] = self.protocol.scale * sum(parts) / len(parts)
        return found


def all_targets() -> Iterator[Target]:
    for entry in ZOO.values():
        for name in entry.published:
            yield Target(entry, PROTOCOLS[name])


def find_targets(name: str) -> list[Target]:
    """The evaluations of a model, or one of them.

    Args:
        name: of a published model, in any form that ``sapiens download`` takes, or ``model/protocol``.

    Raises:
        ValueError: no such model or protocol, or a model without published scores.
    """
    model, slash, protocol = name.rpartition('/')
    if not slash or protocol not in PROTOCOLS:
        model, protocol = name, ''
    entry = ZOO[find(model).name]
    if not entry.published:
        raise ValueError(f'no score of {entry.name} is published; `sapiens reproduce` lists those that are')
    if protocol and protocol not in entry.published:
        raise ValueError(not_known(f'{entry.name}: published score', protocol, list(entry.published)))
    return [Target(entry, PROTOCOLS[one]) for one in entry.published if protocol in ('', one)]
