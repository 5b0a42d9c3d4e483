"""How each of the package's weights is made: people, pretraining, config, length, and what the weights cannot do."""

from collections.abc import Sequence
from dataclasses import dataclass

from sapiens.checkpoints import Entry

__all__ = ['RECIPES', 'VAL_PEOPLE', 'Recipe', 'length_options', 'recipe_of', 'render_arguments']

VAL_PEOPLE, SEEDS = 250, {'train': 10, 'val': 11}
_CROPS = (
    'One person in the crop of 128x96 pixels. People who differ from renderings are found less well: crowds, children, wide '
    'clothes, unusual poses, people seen from above.'
)


@dataclass(frozen=True)
class Recipe:
    """How weights are made.

    Attributes:
        folder: of the people, which several weights share.
        people: options of ``sapiens render`` for them.
        number: of people to train on.
        iterations: of the training.
        limits: what the weights cannot do, a sentence of the card.
        pretraining: config, without labels, on the same people.
        pretraining_iterations: of it.
    """

    folder: str
    people: str
    number: int
    iterations: int
    limits: str
    pretraining: str = 'mae/sapiens_tiny_synthetic-128x128.py'
    pretraining_iterations: int = 12_000


_SINGLE = '--size 192x256 --people 1-1 --format jpg --compact --labels mask,depth,normal,seg,instance,alpha'
_SEVERAL = '--size 320x256 --people 1-6 --format jpg --labels mask,alpha'
RECIPES = {
    'pose17': Recipe('single', _SINGLE, 12_000, 40_000, _CROPS),
    'pose133': Recipe('single', _SINGLE, 12_000, 40_000, f'{_CROPS} Faces and hands have few pixels.'),
    'seg28': Recipe(
        'single', _SINGLE, 12_000, 30_000, f'{_CROPS} Small parts such as lips and teeth are often missed.'
    ),
    'depth': Recipe('single', _SINGLE, 12_000, 30_000, f'{_CROPS} Depth is relative, not in meters.'),
    'normal': Recipe('single', _SINGLE, 12_000, 30_000, f'{_CROPS} Wrinkles and fingers are smoothed.'),
    'person': Recipe(
        'several',
        _SEVERAL,
        12_000,
        30_000,
        'Whole images of 256x256 pixels: people smaller than about a tenth of the image, and people who hide each other, are '
        'missed.',
    ),
}
"""By the last part of the name."""


def recipe_of(entry: Entry) -> Recipe:
    """The recipe of own weights."""
    return RECIPES[entry.name.rpartition('-')[2]]


def render_arguments(recipe: Recipe, split: str, root: str, number: int) -> list[str]:
    """Arguments of the command that renders the people of a split, or goes on with it.

    Args:
        split: 'train' or 'val'; their seeds differ.
        root: the data folder, ``$DATA_ROOT`` of the trainings.
    """
    out = f'{root}/synthetic/{split}'
    return ['render', '--out', out, '--num', str(number), '--seed', str(SEEDS[split]), *recipe.people.split()]


def length_options(iterations: int, is_pretraining: bool, batch: int | None = None) -> list[str]:
    """Options of a config that set the number of steps, with ten checkpoints and two evaluations on the way.

    Warm-up is that of the config where it fits.

    Args:
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
        f'custom_hooks.0.interval={max(1, iterations // 4)}',
    ]
    extra = [f'param_scheduler.1.T_max={iterations - warm_up}'] if is_pretraining else []
    return [*options, *extra, *([f'train_dataloader.batch_size={batch}'] if batch else [])]
