"""The config that trains on own data: the recipe of the task with settings that fit the number of samples, and its cost."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from sapiens.checkpoints.families import FAMILIES
from sapiens.utils.config import config_folder

from .code import as_code, comment
from .model import Model
from .plan import Plan, Reference, own_data_of

__all__ = ['Schedule', 'leaf_text', 'price']

# Images of a step that fit one GPU of 80 GB with some room; the tiny models are for CPUs.
_BATCH = {'tiny': 16, '0.1b': 16, '0.3b': 8, '0.4b': 8, '0.6b': 4, '0.8b': 4, '1b': 2, '2b': 1, '5b': 1}
# A step learns from at least so many images; gradients of smaller batches are accumulated.
_TOTAL = 8
# How often each sample is seen; with few samples more often, up to a limit, until enough images are seen.
_PASSES, _PASSES_OF_FEW = 60, 300
# Fewest and most images of a training, of the tiny model and of the others.
_IMAGES = {True: (16_000, 80_000), False: (20_000, 320_000)}
# Iterations of an epoch, at least: workers pause between epochs.
_EPOCH = 100


@dataclass
class Schedule:
    """Numbers that follow from the number of samples.

    Attributes:
        batch: images of a step on one GPU.
        accumulate: steps of one update.
        repeat: how often a sample occurs in an epoch.
        iterations, warmup, interval: steps of the training, of the rising learning rate, and between evaluations.
        workers: processes that load images.
    """

    batch: int
    accumulate: int
    repeat: int
    iterations: int
    warmup: int
    interval: int
    workers: int

    @classmethod
    def of(cls, samples: int, size: str) -> 'Schedule':
        """The numbers for so many training samples and a model size."""
        batch = min(_BATCH[size], samples)
        least, most = _IMAGES[size == 'tiny']
        images = min(max(_PASSES * samples, min(least, _PASSES_OF_FEW * samples)), most)
        iterations = max(20, math.ceil(images / batch / 20) * 20)
        return cls(
            batch=batch,
            accumulate=1 if size == 'tiny' else max(1, _TOTAL // batch),
            repeat=max(1, math.ceil(_EPOCH * batch / samples)),
            iterations=iterations,
            warmup=min(500, iterations // 10),
            interval=iterations // 20,
            workers=min(8, os.cpu_count() or 1),
        )

    def describe(self, samples: int) -> str:
        seen = self.iterations * self.batch / samples
        return f'{samples} samples, each seen {seen:.0f} times: {self.iterations} steps of {self.batch} images'


def leaf_text(plan: Plan, name: str, model: Model, schedule: Schedule, samples: int, folder: Path) -> str:
    """The config.

    Args:
        name: of the data set file in the same folder, without suffix.
        samples: for training.
        folder: of the config.
    """
    schedule_file = FAMILIES[model.family].schedule or '_base_/default_runtime.py'
    bases = [
        _base('_base_/schedules/tiny-finetune.py' if model.size == 'tiny' else schedule_file, folder),
        f'./{name}.py',
        _base(model.recipe, folder),
        _base(f'_base_/backbones/{model.family}_{model.size}.py', folder),
    ]
    parts = dict(**own_data_of(plan.task).model, backbone=_backbone(model), **_changed_parts(model))
    loaders = {
        split: as_code(
            dict(
                batch_size=batch,
                num_workers=schedule.workers,
                **more,
                dataset=Reference(f'dict(pipeline={pipeline}, **_base_.{split}_dataset)'),
            )
        )
        for split, batch, more, pipeline in (
            ('train', schedule.batch, dict(sampler=dict(repeat=schedule.repeat)), 'train_pipeline'),
            ('val', max(schedule.batch, 4), {}, 'val_pipeline'),
        )
    }
    optimizer = _optimizer(model) | dict(accumulative_counts=schedule.accumulate)
    schedulers = [
        dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=schedule.warmup),
        dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=schedule.warmup, end=schedule.iterations),
    ]
    hooks = dict(checkpoint=dict(by_epoch=False, interval=schedule.interval, save_best=plan.best))
    height, width = model.shape
    return f'''"""Finetunes {model.family.capitalize()} {model.size} for {plan.task} on {name}.py, {height}x{width} pixels.

Written by `sapiens new`, to be changed. What to do if it does not learn: docs/finetune.md.
"""

{comment(model.about_start())}
_base_ = {as_code(bases)}

{_pipelines(plan, model)}
model = {as_code(parts)}
# {schedule.describe(samples)}. An epoch has each sample {schedule.repeat} time(s).
train_dataloader = {loaders['train']}
val_dataloader = {loaders['val']}
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

optim_wrapper = {as_code(optimizer)}
param_scheduler = {as_code(schedulers)}
train_cfg = dict(type='TrainLoop', max_iters={schedule.iterations}, val_interval={schedule.interval})
log_processor = dict(by_epoch=False)
default_hooks = {as_code(hooks)}
custom_hooks = {as_code(_hooks(plan, schedule))}
'''


def _backbone(model: Model) -> Reference:
    """Code of the encoder."""
    options = f'img_size={model.shape}, **_base_.backbone'
    if model.is_borrowed:  # nothing of the first family's encoder is left
        usual = ', '.join(f'{key}={as_code(value)}' for key, value in model.encoder_options().items())
        return Reference(f'dict(_delete_=True, {usual}, {options})')
    return Reference('_base_.backbone' if model.shape == model.usual_shape else f'dict({options})')


def _changed_parts(model: Model) -> dict:
    """What the size of the model and of its input changes in the recipe."""
    head, parts = model.head(), {}
    if head:
        parts['head'] = head
    if 'codec' in model.usual['model'] and model.shape != model.usual_shape:
        # Gaussians keep their size relative to the crop.
        parts['codec'] = dict(sigma=model.usual['model']['codec']['sigma'] * model.shape[0] / model.usual_shape[0])
    return parts


def _base(path: str, folder: Path) -> str:
    """A shipped config as a base: relative if the folder lies in the same clone, otherwise absolute."""
    file, root = (config_folder() / path).resolve(), config_folder().resolve().parent
    inside = folder.resolve().is_relative_to(root) and (root / 'pyproject.toml').is_file()
    return os.path.relpath(file, folder.resolve()) if inside else str(file)


def _pipelines(plan: Plan, model: Model) -> str:
    """``train_pipeline`` and ``val_pipeline``: the recipe's, with what depends on the data and on the size."""
    is_usual = model.shape == model.usual_shape
    train, val = (
        f'_base_.{split}_pipeline' if is_usual else as_code(model.pipeline(split)) for split in ('train', 'val')
    )
    lines = [] if is_usual else [f'train_pipeline = {train}']
    source = train if is_usual else 'train_pipeline'
    usual = {step['type'] for step in model.usual['train_pipeline']}
    if 'LoadPerson' in usual:
        changed = f"dict(step, min_visible={plan.min_visible}) if step['type'] == 'LoadPerson' else step"
        lines += [
            f'# Crops that show fewer than {plan.min_visible} labeled keypoints are drawn again.',
            f'train_pipeline = [\n    {changed} for step in {source}\n]',
        ]
    elif 'RandomBackground' in usual:
        lines += [
            '# Without random backgrounds, which need photographs without people (docs/data.md).',
            f"train_pipeline = [step for step in {source} if step['type'] != 'RandomBackground']",
        ]
    elif is_usual:
        lines.append(f'train_pipeline = {source}')
    return '\n'.join([*lines, f'val_pipeline = {val}'])


def _optimizer(model: Model) -> dict:
    """Rates and decay. The published ones are 5e-4 at total batches of 64 (dense) to 512 (pose)."""
    if model.size == 'tiny':
        rate = own_data_of(model.task).tiny_rate
        return dict(optimizer=dict(lr=rate)) if rate else {}
    if FAMILIES[model.family].schedule:  # the rest is that of its schedule
        groups, norm = Reference('_base_.layer_decay_rate'), Reference('_base_.max_norm')
        return dict(
            optimizer=dict(lr=1e-4), paramwise_cfg=dict(layer_decay_rate=groups), clip_grad=dict(max_norm=norm)
        )
    return dict(
        optimizer=dict(lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
        paramwise_cfg=dict(layer_decay_rate=0.85, no_decay=['pos_embed'], no_decay_1d=True),
    )


def _hooks(plan: Plan, schedule: Schedule) -> list[dict]:
    """Figures at every evaluation."""
    kind = own_data_of(plan.task).figures
    return [dict(type=kind, interval=schedule.interval, num_images=min(8, schedule.batch))]


def price(parameters: int, operations: int, schedule: Schedule) -> list[str]:
    """Sentences on what a training costs, with hours at assumed speeds.

    Args:
        parameters, operations: of the model, the latter for one image forward.
    """
    step = 3 * operations / 1e12  # backward costs twice as much as forward
    total = step * schedule.iterations * schedule.batch
    speeds = (('a CPU', 0.1), ('a small GPU', 5.0)) if step < 1 else (('a GPU', 40.0), ('a large GPU', 250.0))
    hours = ', '.join(f'{_duration(total / speed)} on {what} that reaches {speed:g} TFLOP/s' for what, speed in speeds)
    images = schedule.iterations * schedule.batch
    return [
        f'{images:,} images of {step:.3g} TFLOP (forward and backward), {total / 1000:.3g} PFLOP: about {hours}; evaluations '
        'come on top',
        f'{parameters / 1e6:,.1f} M parameters: weights, gradients and optimizer take {_memory(16 * parameters)}, and '
        'activations come on top. If they do not fit: activation_checkpointing=all, or a smaller train_dataloader.batch_size',
    ]


def _memory(size: float) -> str:
    return f'{size / 2**30:.1f} GiB' if size >= 2**30 else f'{size / 2**20:.0f} MiB'


def _duration(seconds: float) -> str:
    for unit, size in (('days', 86400), ('hours', 3600), ('minutes', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.0f} {unit}'
    return f'{seconds:.0f} s'
