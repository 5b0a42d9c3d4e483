"""The first lines of a run: what it works on, with what, and where its files lie."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import BaseLoop

from sapiens.utils.config_keys import flatten, get_value, has_key
from sapiens.utils.counting import count_of
from sapiens.utils.terminal import fact, near_path

from .lora import describe_lora

__all__ = ['describe_options', 'start_report']

# Keys of a config that change memory, speed or files and that no other line shows, with their defaults.
OPTIONS = {
    'activation_checkpointing': 'off',
    'optim_wrapper.state_dtype': 'fp32',
    'default_hooks.checkpoint.format': 'auto',
    'env_cfg.matmul_precision': 'auto',
}


def start_report(runner) -> str:
    """Describe a run whose loops are built, a fact per line: config, device, model, data, batch, steps, optimizer,
    options that are not the default, and log.

    A line ``weights`` follows when they are loaded.
    """
    facts = dict(config=near_path(runner.cfg.filename)) if runner.cfg.filename else {}
    facts |= dict(device=_device(runner), model=_model(runner.bare_model))
    facts |= dict(lora=text) if (text := describe_lora(runner.bare_model)) else {}
    train, val, test = (
        loop if isinstance(loop, BaseLoop) else None
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop)
    )
    loops = dict(train=train, val=val, test=test)
    facts |= {name: _data(loop.dataloader.dataset) for name, loop in loops.items() if loop is not None}
    if train is not None:
        facts |= dict(
            batch=_batch(runner, train), steps=_steps(train, val), optimizer=_optimizer(runner.optim_wrapper)
        )
        facts |= dict(options=text) if (text := describe_options(runner.cfg)) else {}
    facts['log'] = near_path(Path(runner.log_dir) / f'{runner.timestamp}.log')
    return '\n'.join(fact(name, value) for name, value in facts.items())


def _device(runner) -> str:
    has_gpu, threads = torch.cuda.is_available(), count_of(torch.get_num_threads(), 'thread')
    name = torch.cuda.get_device_name() if has_gpu else f'CPU, {threads}'
    where = name if runner.world_size == 1 else f'{runner.world_size} processes, each {name}'
    notes = [
        'bf16 autocast' if getattr(runner.optim_wrapper, 'uses_bf16', False) else '',
        'TF32 products' if has_gpu and torch.get_float32_matmul_precision() == 'high' else '',
        runner.parallel.describe(),
    ]
    return ', '.join([where, *filter(None, notes)])


def _model(model: torch.nn.Module) -> str:
    counts = [0, 0]
    for parameter in model.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    fixed, trained = counts
    kind = f'{type(model).__name__}, {fixed + trained:,} parameters'
    return f'{kind}, {fixed:,} of them fixed' if fixed else kind


def _data(dataset) -> str:
    if tasks := getattr(dataset, 'tasks', None):
        return ', '.join(f'{len(part):,} of {name}' for name, part in tasks.items())
    return (
        f'{type(dataset).__name__}({len(dataset)} samples)'
        if type(dataset).__repr__ is object.__repr__
        else repr(dataset)
    )


def _batch(runner, loop) -> str:
    accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    factors = {
        'per process': loop.dataloader.batch_size,
        'processes': runner.world_size,
        'accumulated': accumulated,
    }
    text = ' x '.join(f'{value} {name}' for name, value in factors.items() if value > 1)
    total = loop.total_batch * accumulated
    more = runner.world_size > 1 or accumulated > 1
    workers = count_of(loop.dataloader.num_workers, 'worker')
    return f'{count_of(total, "image")}{f" = {text}" if more else ""}, {workers} reading'


def describe_options(cfg: Config) -> str:
    """Those of :data:`OPTIONS` that are not the default; '' if all are."""
    found = {}
    for key, default in OPTIONS.items():
        if has_key(cfg._cfg_dict, key) and get_value(cfg._cfg_dict, key) not in (default, None):
            found |= flatten(get_value(cfg._cfg_dict, key), key)
    return ', '.join(f'{key}={value}' for key, value in found.items())


def _steps(loop, val) -> str:
    length, unit = loop.data.epoch_length, 'epoch' if loop.by_epoch else 'step'
    every = loop.val_intervals[0]
    text = f'{loop.max_iters:,} ({length:,} per epoch)'
    if val is not None:
        text += f', validation after every {count_of(every, unit) if every > 1 else unit}'
    return text


def _optimizer(wrapper) -> str:
    settings = wrapper.base_param_settings or wrapper.param_groups[0]
    optimizer = getattr(wrapper, 'optimizer', wrapper)
    rates = [group.get('initial_lr', group['lr']) for group in wrapper.param_groups]
    text = f'{type(optimizer).__name__}, learning rate {settings.get("initial_lr", settings["lr"]):.3g}'
    if min(rates) < 0.99 * max(rates):
        text += f' (from {min(rates):.2g} in the first layers)'
    return f'{text}, weight decay {settings.get("weight_decay", 0):g}'
