"""How each of the package's weights is made: people, pretraining, config, length, and what the weights cannot do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sapiens.checkpoints import ZOO, Entry

__all__ = [
    'ALL',
    'GROUPS',
    'JOINT_CONFIG',
    'KEYPOINTS',
    'OWN',
    'RECIPES',
    'VAL_PEOPLE',
    'Group',
    'People',
    'Recipe',
    'length_options',
    'recipe_of',
    'render_arguments',
]

OWN = tuple(entry for entry in ZOO.values() if entry.is_own)
ALL, KEYPOINTS = 'all', 'keypoints'
"""Names of recipes that make several weights."""
JOINT_CONFIG = 'multi/sapiens_tiny_free-128x96.py'

VAL_PEOPLE, SEEDS = 250, {'train': 10, 'val': 11}
_CROPS = (
    'One person in the crop of 128x96 pixels. Most of the training were rendered people: results on photographs are worse '
    '(docs/benchmark.md). People who differ from renderings are found less well: crowds, children, wide clothes, unusual poses, '
    'people seen from above.'
)


@dataclass(frozen=True)
class People:
    """Rendered images of people: options of ``sapiens render``, and the number of images to train on."""

    options: str
    number: int


@dataclass(frozen=True)
class Recipe:
    """How weights are made.

    Attributes:
        folder: of the data ($DATA_ROOT), which several weights share.
        people: rendered images, by their folder in it.
        iterations: of the training.
        limits: what the weights cannot do, a sentence of the card.
        pretraining: config, without labels, on the same people.
        pretraining_iterations: of it.
        keypoints: config of a training of keypoints between the two, on the same people; '' for none. An encoder that knows
            keypoints learns the other tasks faster (docs/log/experiments.md).
        keypoints_iterations: of it.
    """

    folder: str
    people: Mapping[str, People]
    iterations: int
    limits: str
    pretraining: str = 'mae/sapiens_tiny_synthetic-128x128.py'
    pretraining_iterations: int = 12_000
    keypoints: str = ''
    keypoints_iterations: int = 0


@dataclass(frozen=True)
class Group:
    """Weights that one training makes, on one encoder.

    Attributes:
        name: of the folder of the training.
        config: of the training.
        entries: of the weights.
        encoder: file of the encoder.
    """

    name: str
    config: str
    entries: tuple[Entry, ...]
    encoder: str


_SINGLE_OPTIONS = '--size 192x256 --people 1-1 --format jpg --compact --labels mask,depth,normal,seg,instance,alpha'
_SEVERAL_OPTIONS = '--size 320x256 --people 1-6 --format jpg --labels mask,alpha'
_SINGLE = {'synthetic': People(_SINGLE_OPTIONS, 12_000)}
_SEVERAL = {'synthetic': People(_SEVERAL_OPTIONS, 12_000)}
# The people of all weights at once are in two folders, that of single people first.
_BOTH = {'synthetic': People(_SINGLE_OPTIONS, 6_000), 'several/synthetic': People(_SEVERAL_OPTIONS, 2_000)}
RECIPES = {
    'pose17': Recipe('people', _SINGLE, 40_000, _CROPS),
    'pose133': Recipe('people', _SINGLE, 40_000, f'{_CROPS} Faces and hands have few pixels.'),
    'seg28': Recipe('people', _SINGLE, 30_000, f'{_CROPS} Small parts such as lips and teeth are often missed.'),
    'depth': Recipe('people', _SINGLE, 30_000, f'{_CROPS} Depth is relative, not in meters.'),
    'normal': Recipe('people', _SINGLE, 30_000, f'{_CROPS} Wrinkles and fingers are smoothed.'),
    'person': Recipe(
        'people/several',
        _SEVERAL,
        30_000,
        'Whole images of 256x256 pixels. Most of the training were rendered people: people in photographs are often missed '
        '(docs/benchmark.md). So are people smaller than about a tenth of the image, and people who hide each other.',
    ),
    KEYPOINTS: Recipe('people', _SINGLE, 40_000, ''),
    ALL: Recipe(
        'people', _BOTH, 24_000, '', keypoints='pose/sapiens_tiny_free133-128x96.py', keypoints_iterations=24_000
    ),
}
"""By the last part of the name; limits of the weights of a group are those of the single ones."""

_POSES = tuple(entry for entry in OWN if entry.task == 'pose')
_MOST_KEYPOINTS = ZOO['sapiens-tiny-pose133']
GROUPS = {
    ALL: Group('sapiens-tiny-all', JOINT_CONFIG, OWN, 'sapiens-tiny-encoder.safetensors'),
    # The smaller sets of keypoints are the first outputs of the largest one.
    KEYPOINTS: Group(
        'sapiens-tiny-keypoints', _MOST_KEYPOINTS.config, _POSES, 'sapiens-tiny-keypoints-encoder.safetensors'
    ),
}


def recipe_of(what: Entry | Group) -> Recipe:
    """The recipe of own weights, or of a group."""
    return RECIPES[what.name.rpartition('-')[2]]


def render_arguments(people: People, split: str, folder: str, number: int, device: str = 'cpu') -> list[str]:
    """Arguments of the command that renders the people of a split, or goes on with it.

    Args:
        split: 'train' or 'val'; their seeds differ.
        folder: that has the splits.
        number: of images.
        device: of the ray casting, 'cpu' or 'cuda'.
    """
    out = f'{folder}/{split}'
    where = ['--scene', f'device={device}'] if device != 'cpu' else []
    return ['render', '--out', out, '--num', str(number), '--seed', str(SEEDS[split]), *people.options.split(), *where]


def length_options(iterations: int, is_pretraining: bool, batch: int | None = None, draws: bool = True) -> list[str]:
    """Options of a config that set the number of steps, with ten checkpoints and two evaluations on the way.

    Warm-up is that of the config where it fits.

    Args:
        draws: whether the config has a hook that draws figures.
        batch: images of a step; None as the config says.
    """
    warm_up = min(400 if is_pretraining else 200, max(1, iterations // 4))
    options: Sequence[str] = [
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={max(1, iterations // 2)}',
        f'default_hooks.checkpoint.interval={max(1, iterations // 10)}',
        'default_hooks.checkpoint.max_keep_ckpts=2',
        f'param_scheduler.0.end={warm_up}',
        f'param_scheduler.1.begin={warm_up}',
        f'param_scheduler.1.end={iterations}',
    ]
    if draws:
        options = [*options, f'custom_hooks.0.interval={max(1, iterations // 4)}']
    extra = [f'param_scheduler.1.T_max={iterations - warm_up}'] if is_pretraining else []
    return [*options, *extra, *([f'train_dataloader.batch_size={batch}'] if batch else [])]
