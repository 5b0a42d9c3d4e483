"""Advice from a plan: what makes a training fit, and what helps most when memory ran out."""

import os
from collections.abc import Sequence

import psutil
import torch
from mmengine.config import Config

from .arithmetic import Cluster
from .plan import Choice, Plan, Planner
from .units import show

__all__ = ['advise', 'explain_out_of_memory', 'settings_of']

GB = 1e9
# Options that the message after an out-of-memory error names.
SHOWN = 3


def settings_of(choice: Choice, own: Choice) -> list[str]:
    """``--cfg-options`` that lead from the way of a config to another one."""
    found = []
    if choice.parallel != own.parallel:
        values = ','.join(f'{key}={value!r}' for key, value in choice.parallel.setting.items())
        found.append(f'"parallel=dict({values})"')
    if choice.checkpointing != own.checkpointing:
        found += choice.checkpointing.options
    if choice.batch != own.batch:
        found.append(choice.batch_option(choice.batch))
    if choice.accumulated != own.accumulated:
        found.append(f'optim_wrapper.accumulative_counts={choice.accumulated}')
    return found


def advise(plan: Plan) -> list[str]:
    """Lines that say whether the config fits its GPUs as it is, and which options make it fit, the fastest first."""
    own, usable = plan.own, plan.cluster.usable
    size = f'{show(own.peak)} of {show(usable)}'
    way = f'{own.parallel.name}, checkpointing {own.checkpointing.name}, batch {own.batch}'
    if own.fits:
        lines = [f'The config fits as it is ({way}): {size}.']
        best = max((one for one in plan.choices if one.fits), key=lambda one: one.images_per_second)
        if best.images_per_second > 1.01 * own.images_per_second:
            lines.append(f'Faster by {best.images_per_second / own.images_per_second - 1:.0%}: {_describe(best, own)}')
        return lines
    lines = [f'The config does not fit as it is ({way}): {size}.']
    fitting = sorted((one for one in plan.choices if one.fits), key=lambda one: -one.images_per_second)
    if fitting:
        lines.append('These options make it fit, the fastest first:')
        return lines + [f'  {_describe(one, own)}' for one in fitting if not _has_more_than_needed(one, fitting, own)]
    smaller = sorted((one for one in plan.choices if one.largest), key=lambda one: -one.largest)
    if not smaller:
        return [*lines, f'No combination fits a batch of 1 on {plan.cluster.gpus} GPUs of {plan.cluster.memory:g} GB.']
    lines.append('A smaller batch with more accumulation (optim_wrapper.accumulative_counts) fits:')
    for one in smaller:
        options = ' '.join(text for text in settings_of(one, own)) or 'the other options as they are'
        lines.append(f'  {one.batch_option(one.largest)} with {options}')
    return lines


def _has_more_than_needed(choice: Choice, others: Sequence[Choice], own: Choice) -> bool:
    """Whether some of the settings of a choice are enough, and as fast."""
    settings = set(settings_of(choice, own))
    return any(
        set(settings_of(other, own)) < settings and other.images_per_second >= choice.images_per_second
        for other in others
    )


def _describe(choice: Choice, own: Choice) -> str:
    settings = ' '.join(settings_of(choice, own)) or 'as configured'
    return f'{show(choice.peak)}, {choice.images_per_second:,.0f} images/s: {settings}'


# ---------------------------------------------------------------------- after an error


def explain_out_of_memory(cfg: Config, processes: int) -> str:
    """Describe what the training of a config takes, and the three options that help most, each by itself.

    Args:
        cfg: of the run.
        processes: that train together, each on a device like that of this one.
    """
    gpus_per_node = min(int(os.environ.get('LOCAL_WORLD_SIZE', processes)), processes)
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / GB
    else:
        memory = psutil.virtual_memory().total / GB
    planner = Planner(cfg, Cluster(gpus=processes, gpus_per_node=gpus_per_node, memory=memory))
    own = planner.choose(planner.own_parallel, planner.own_variant)
    found = sorted(_single_changes(planner, own), key=lambda one: one.peak)[:SHOWN]
    lines = [
        f'Estimate for this config on {processes} GPU(s) of {memory:.1f} GB (sapiens estimate): {show(own.peak)} at batch '
        f'{own.batch}, of which {show(own.state)} are weights, gradients and states, and {show(own.per_image)} are taken by '
        'an image.'
    ]
    if found:
        lines.append('The options that help most, each by itself:')
    for one in found:
        saved, slower = own.peak - one.peak, own.images_per_second / one.images_per_second - 1
        speed = f', {slower:.0%} slower' if slower > 0.005 else ''
        lines.append(f'  {" ".join(settings_of(one, own))}: saves {show(saved)} ({saved / own.peak:.0%}){speed}')
    return '\n'.join(lines)


def _single_changes(planner: Planner, own: Choice) -> Sequence[Choice]:
    """Ways that differ from a choice in one option and take less memory. The batch of the optimizer stays."""
    changes = [planner.choose(way, own.checkpointing) for way in planner.ways()]
    changes += [planner.choose(own.parallel, variant) for variant in planner.variants]
    if own.batch % 2 == 0:
        changes.append(planner.choose(own.parallel, own.checkpointing, own.batch // 2, 2 * own.accumulated))
    return [one for one in changes if one.peak < own.peak]
