"""The cases of gpu_suite.py, in the order in which they must be had."""

from dataclasses import dataclass, replace

__all__ = ['MODES', 'RECIPES', 'SETTINGS', 'Case', 'smallest', 'suite_cases', 'tiny']

# How a model is trained, by keys of its config.
MODES = {
    'eager': {},
    'compile': dict(compile=True),
    'compile + checkpointing': dict(compile=True, activation_checkpointing='all'),
    'FSDP2': dict(parallel=dict(type='FSDP2')),
}
# For the trace of a step, which is that of eager and compile.
SETTINGS = {mode: 'all' if 'checkpointing' in mode else 'off' for mode in MODES}


@dataclass(frozen=True)
class Recipe:
    """A task to train.

    Attributes:
        labels: of :func:`batch_labels.make_sample`; '' for none.
        config: with {} for the size.
        tiny: config for a smoke test.
        batch: images by size, which leave room on 80 GB without recomputation.
        options: of the config.
    """

    labels: str
    config: str
    tiny: str
    batch: dict[str, int]
    options: tuple[str, ...] = ()


_MAE = 'mae/sapiens_{}_humans300m-1024x1024', 'mae/sapiens_tiny_synthetic-128x128'
RECIPES = {
    'MAE 0.95': Recipe('', *_MAE, {'1b': 32, '0.3b': 64}, ('model.mask_ratio=0.95',)),
    'MAE 0.75': Recipe('', *_MAE, {'1b': 16, '0.3b': 32}, ('model.mask_ratio=0.75',)),
    'pose 308': Recipe(
        'pose-308', 'pose/sapiens_{}_goliath-1024x768', 'pose/sapiens_tiny_synthetic308-128x96', {'1b': 4, '0.3b': 12}
    ),
    'pose 17': Recipe(
        'pose-17', 'pose/sapiens_{}_coco-1024x768', 'pose/sapiens_tiny_synthetic17-128x96', {'1b': 4, '0.3b': 12}
    ),
    'segmentation': Recipe(
        'seg', 'seg/sapiens_{}_goliath-1024x768', 'seg/sapiens_tiny_synthetic-128x96', {'1b': 4, '0.3b': 8}
    ),
    'depth': Recipe(
        'depth', 'depth/sapiens_{}_renderpeople-1024x768', 'depth/sapiens_tiny_synthetic-128x96', {'1b': 2, '0.3b': 4}
    ),
    'normals': Recipe(
        'normal-fp16',
        'normal/sapiens_{}_renderpeople-1024x768',
        'normal/sapiens_tiny_synthetic-128x96',
        {'1b': 4, '0.3b': 8},
    ),
    'Sapiens2 segmentation': Recipe(
        'seg', 'seg/sapiens2_{}_goliath-1024x768', 'seg/sapiens2_tiny_synthetic-128x96', {'1b': 2, '0.4b': 4}
    ),
}
TASKS = ('pose 308', 'segmentation', 'normals')


@dataclass(frozen=True)
class Case:
    """One process of the suite.

    Attributes:
        kind: ``'step'``, ``'pair'`` (against an opponent), ``'largest'`` (batch), ``'loading'`` or ``'estimate'``.
        recipe: of :data:`RECIPES`.
        size: of the model.
        mode: of :data:`MODES`.
        opponent: of a pair.
        batch: images.
        is_tiny: the smallest sizes, for a smoke test.
    """

    kind: str
    recipe: str
    size: str
    mode: str = 'eager'
    opponent: str = ''
    batch: int = 1
    is_tiny: bool = False

    @property
    def name(self) -> str:
        """Of this case in the file of results and on the command line. The batch is no part of it."""
        parts = [self.kind, self.recipe, self.size, self.mode]
        return '/'.join([*parts, self.opponent] if self.opponent else parts)

    @property
    def lane(self) -> str:
        """What computes: the ``'device'``, or the ``'host'`` meanwhile."""
        return 'host' if self.kind in ('loading', 'estimate') else 'device'

    @property
    def config(self) -> str:
        recipe = RECIPES[self.recipe]
        return f'configs/{recipe.tiny if self.is_tiny else recipe.config.format(self.size)}.py'

    @property
    def options(self) -> list[str]:
        return list(RECIPES[self.recipe].options)


def suite_cases() -> list[Case]:
    """All cases: what must be had first."""
    return [*dict.fromkeys(_all_cases())]


def _all_cases():
    first = [('MAE 0.95', '1b'), *((task, '1b') for task in TASKS)]
    rest = [(recipe, '1b') for recipe in RECIPES if (recipe, '1b') not in first]
    small = [(name, size) for name, recipe in RECIPES.items() for size in recipe.batch if size != '1b']
    for recipe, size in first:
        yield from (_case('step', recipe, size, mode) for mode in ('eager', 'compile'))
    # The goal of MAE 1b at 0.75 needs its steps too.
    yield from (_case('step', 'MAE 0.75', '1b', mode) for mode in ('eager', 'compile'))
    for recipe in ('MAE 0.95', 'MAE 0.75'):
        yield from (_case('pair', recipe, '1b', mode, 'mmpretrain') for mode in ('compile', 'eager'))
    # These need no device and run next to the others, in this order.
    for recipe, size in (*first, *rest, *small):
        yield from (_case('estimate', recipe, size, mode) for mode in ('eager', 'compile + checkpointing'))
    yield from (_case('loading', recipe, '1b') for recipe in ('MAE 0.95', 'pose 308', 'segmentation', 'normals'))
    for recipe, size in (*first, *rest, *small):
        yield from (_case('step', recipe, size, mode) for mode in MODES)
    for size in ('1b', '0.3b'):
        yield _case('pair', 'pose 308', size, 'eager', 'ViTPose-style head')
        yield _case('pair', 'segmentation', size, 'eager', "mmseg's head")
    for recipe, size in (*first, ('MAE 0.95', '0.3b'), *((task, '0.3b') for task in TASKS)):
        yield _case('pair', recipe, size, 'eager', 'plain eager')
    for recipe in ('MAE 0.95', 'MAE 0.75'):
        yield from (_case('pair', recipe, '0.3b', mode, 'mmpretrain') for mode in ('compile', 'eager'))
    for recipe, size in (*first, *rest, *small):
        yield from (_case('largest', recipe, size, mode) for mode in ('eager', 'compile + checkpointing'))


def _case(kind: str, recipe: str, size: str, mode: str = 'eager', opponent: str = '') -> Case:
    batch = RECIPES[recipe].batch[size]
    if opponent in ('mmpretrain', 'plain eager'):  # two optimizers, or two models
        batch = max(1, batch // 2)
    if kind in ('loading', 'largest'):
        batch = 1
    return Case(kind, recipe, size, mode, opponent, batch)


def smallest(cases: list[Case]) -> list[Case]:
    """Cases of a smoke test: each recipe, mode, opponent and kind."""
    return [case for case in tiny(cases) if _is_tried(case)]


def tiny(cases: list[Case]) -> list[Case]:
    """The cases with tiny models."""
    return [*dict.fromkeys(replace(case, size='tiny', batch=2, is_tiny=True) for case in cases)]


def _is_tried(case: Case) -> bool:
    if case.kind == 'largest':
        return case.recipe == 'MAE 0.95' and case.mode == 'eager'
    if case.opponent == 'mmpretrain':
        return case.recipe == 'MAE 0.95'
    if case.opponent == 'plain eager':
        return case.recipe == 'pose 308'
    if case.kind == 'estimate' and case.mode == 'eager':
        return case.recipe in ('MAE 0.95', 'segmentation')
    return case.mode == 'eager' or case.recipe == 'MAE 0.95'
