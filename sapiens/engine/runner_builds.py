"""What a runner builds from its config: loaders, loops, the optimizer and schedules."""

import inspect
from contextlib import ExitStack
from functools import cached_property

import torch
from mmengine.device import get_device
from mmengine.dist import get_rank
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import BaseLoop
from mmengine.runner import Runner as _Runner
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from sapiens.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS
from sapiens.utils.terminal import Terminal, log_brief
from sapiens.utils.total_batch import TOTAL, batch_of_process

from .eval_loops import TestLoop, ValLoop
from .float8 import use_float8
from .loops import TrainLoop
from .lora import add_lora
from .mmengine_loops import EpochBasedTrainLoop, IterBasedTrainLoop
from .optim.optim_wrapper import autocasts_to_bf16
from .parallel import Parallel, build_parallel
from .recomputing import recompute_activations
from .start_report import start_report
from .worker_signals import init_worker

__all__ = ['BuildingRunner']

# Schedules that end at a minimum.
DECAYS = ('PolyLR', 'CosineAnnealingLR')


class BuildingRunner(_Runner):
    """Differences from :class:`mmengine.runner.Runner` in what it builds:

    * Loops are those of this package, whose state a checkpoint holds. There is one optimizer.
    * The learning rate follows the real total batch, including gradient accumulation.
    * Loaders do not use the global random state, and their workers survive the signals that stop a run.
    * The terminal shows ten lines at the start (:mod:`.start_report`) and then what the run logs. Environment, config and hooks
      are in the log file. ``SAPIENS_VERBOSE=1`` shows everything.
    """

    def build_logger(self, *args, **options) -> MMLogger:
        """Build the logger. Until the run starts, the terminal shows its warnings only."""
        logger = super().build_logger(*args, **options)
        self.terminal = Terminal(logger)
        self.terminal.is_quiet = True
        return logger

    @cached_property
    def _evaluation(self) -> ExitStack:
        """Contexts of the evaluation that runs."""
        return ExitStack()

    def call_hook(self, fn_name: str, **kwargs) -> None:
        if fn_name in ('after_val_epoch', 'after_test_epoch'):
            self._evaluation.close()  # hooks see the parts of this process
        super().call_hook(fn_name, **kwargs)
        if fn_name in ('before_val_epoch', 'before_test_epoch'):
            self._evaluation.enter_context(self.parallel.gathered(self.model))
        if fn_name == 'before_run':  # everything is built, and nothing is loaded yet
            text = start_report(self)
            log_brief(text, text, self.logger, timed=False)

    @cached_property
    def parallel(self) -> Parallel:
        """How several processes share the run: ``parallel`` in the config. One process without a launcher shares with none."""
        parallel = build_parallel(self.cfg)
        if parallel.is_sharded and not self.distributed:
            self.logger.warning(
                f'parallel.type={type(parallel).__name__!r} has no effect in one process without a launcher: start the run '
                'with tools/dist_train.sh or torchrun'
            )
            return Parallel()
        wrapper = self.optim_wrapper
        if isinstance(wrapper, dict):
            uses_bf16 = autocasts_to_bf16(wrapper.get('precision', 'auto'), get_device())
            parallel.prepare(uses_bf16, wrapper.get('accumulative_counts', 1) != 1)
        else:  # None in a test
            parallel.prepare(getattr(wrapper, 'uses_bf16', False), getattr(wrapper, '_accumulative_counts', 1) > 1)
        return parallel

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build the model, in shards where ``parallel`` shards it; see also :func:`.add_lora`, :func:`.use_float8` and
        :func:`.recompute_activations`.

        Raises:
            ValueError: ``lora`` and ``float8`` together, which were not tried.
        """
        lora, float8 = self.cfg.get('lora'), self.cfg.get('float8')
        if lora and float8:
            raise ValueError('lora and float8 do not work together: set one of them')
        with self.parallel.building():
            model = super().build_model(model)
            if lora:
                add_lora(model, lora)
        if float8:
            use_float8(model, float8, get_device(), bool(self.cfg.get('compile')))
        recompute_activations(model, self.cfg.get('activation_checkpointing', 'off'), bool(self.cfg.get('compile')))
        return model

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Distribute the model as ``parallel`` in the config says."""
        if not self.distributed or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        if model_wrapper_cfg:
            if not torch.cuda.is_available():
                model_wrapper_cfg = dict(model_wrapper_cfg, device_ids=None)
            return super().wrap_model(model_wrapper_cfg, model)
        return self.parallel.wrap(model, super().wrap_model)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False):
        """Build a loader. Its workers survive the signals that stop a run. It does not use the global random state. Streams
        need no sampler, and a dataset may name the one (``sampler``) that takes the place of a ResumableSampler."""
        if isinstance(dataloader, DataLoader):
            return dataloader
        dataloader = dict(dataloader)
        if seed is not None and diff_rank_seed:
            seed -= get_rank()  # all ranks shuffle alike; samples differ by their position in the epoch
        dataset, sampler = dataloader['dataset'], dataloader.get('sampler')
        kind = dataset['type'] if isinstance(dataset, dict) else type(dataset)
        kind = DATASETS.get(kind) if isinstance(kind, str) else kind
        own = getattr(kind, 'sampler', None)
        if (
            own
            and isinstance(sampler, dict)
            and getattr(sampler['type'], '__name__', sampler['type']) == 'ResumableSampler'
        ):
            _refuse_other_options(sampler, own, kind)
            sampler = dataloader['sampler'] = dict(sampler, type=own)
        if isinstance(sampler, dict) and _takes_batch_size(sampler['type']):
            if 'batch_size' in sampler:
                raise ValueError('sampler.batch_size follows from the batch_size of the loader; leave it out')
            dataloader['sampler'] = dict(sampler, batch_size=dataloader['batch_size'])
        if kind is not None and issubclass(kind, IterableDataset):
            dataloader['sampler'] = None
        if not dataloader.get('num_workers'):
            dataloader.pop('persistent_workers', None)
        collate = dataloader.get('collate_fn') or dict(type='pseudo_collate')
        if isinstance(collate, dict) and isinstance(collate['type'], str):
            collate = dict(collate, type=FUNCTIONS.get(collate['type']))  # mmengine does not search our registry
        dataloader['collate_fn'] = collate
        dataloader.setdefault('worker_init_fn', dict(type=init_worker))
        dataloader.setdefault('pin_memory', torch.cuda.is_available())
        loader = _Runner.build_dataloader(dataloader, seed, False)
        loader.generator = torch.Generator().manual_seed(seed or 0)
        return loader

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the training loop.

        Raises:
            ValueError: a loop of another kind, whose state a checkpoint cannot hold, or a wrong ``total_batch_size``, see
                :func:`.batch_of_process`.
        """
        if isinstance(loop, dict) and 'by_epoch' in loop and 'type' not in loop:
            loop = dict(loop)
            loop['type'] = EpochBasedTrainLoop if loop.pop('by_epoch') else IterBasedTrainLoop
        if isinstance(self._train_dataloader, dict):
            batch = batch_of_process(self._train_dataloader, self.world_size)
            others = {key: value for key, value in self._train_dataloader.items() if key != TOTAL}
            self._train_dataloader = dict(others, batch_size=batch)
        loop = super().build_train_loop(loop)
        if not isinstance(loop, TrainLoop):
            raise ValueError(
                f'train_cfg builds {type(loop).__module__}.{type(loop).__name__}, whose state a checkpoint cannot hold: use '
                "type='TrainLoop' with max_epochs or max_iters, or derive your loop from sapiens.engine.TrainLoop"
            )
        return loop

    def build_optim_wrapper(self, optim_wrapper) -> OptimWrapper:
        """Build the optimizer wrapper.

        Raises:
            ValueError: a wrapper of several optimizers.
        """
        wrapper = super().build_optim_wrapper(optim_wrapper)
        if isinstance(wrapper, OptimWrapperDict):
            raise ValueError(
                f'optim_wrapper has the optimizers {", ".join(wrapper.keys())}: training takes one. Give parts of the model '
                'their own learning rate with optim_wrapper.paramwise_cfg'
            )
        return wrapper

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the validation loop, by default the one of this package."""
        return super().build_val_loop({'type': ValLoop, **loop} if isinstance(loop, dict) else loop)

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build the test loop, by default the one of this package."""
        return super().build_test_loop({'type': TestLoop, **loop} if isinstance(loop, dict) else loop)

    def build_param_scheduler(self, scheduler):
        """Build the schedules. A decay by iteration without ``end`` lasts as long as the training: it would reach its minimum
        one iteration after the last."""
        schedules = scheduler if isinstance(scheduler, list | tuple) else [scheduler]
        schedules = [
            dict(schedule, end=self.max_iters + 1)
            if isinstance(schedule, dict)
            and schedule.get('type') in DECAYS
            and 'end' not in schedule
            and not schedule.get('by_epoch', True)
            else schedule
            for schedule in schedules
        ]
        return super().build_param_scheduler(schedules)

    def scale_lr(self, optim_wrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate by the real total batch over ``base_batch_size``."""
        if not auto_scale_lr or not auto_scale_lr.get('enable', False):
            return
        if 'base_batch_size' not in auto_scale_lr:
            raise ValueError(
                f'auto_scale_lr={auto_scale_lr} needs base_batch_size, the batch size that lr is given for'
            )
        loader = self._train_dataloader
        per_rank = loader.batch_size if isinstance(loader, DataLoader) else loader['batch_size']
        accumulated, base = optim_wrapper._accumulative_counts, auto_scale_lr['base_batch_size']
        total = per_rank * self.world_size * accumulated
        ratio = total / base
        for group in optim_wrapper.optimizer.param_groups:
            group['lr'] *= ratio
        if optim_wrapper.base_param_settings is not None:
            optim_wrapper.base_param_settings['lr'] *= ratio
        self.logger.info(
            f'Learning rate scaled by {ratio:g}: {per_rank} images x {self.world_size} process(es) x {accumulated} '
            f'accumulated = {total}, lr is given for {base}'
        )


def _takes_batch_size(kind: str | type) -> bool:
    """Whether a sampler needs to know the size of a batch."""
    kind = DATA_SAMPLERS.get(kind) if isinstance(kind, str) else kind
    return kind is not None and 'batch_size' in inspect.signature(kind).parameters


def _refuse_other_options(sampler: dict, own: type, dataset: type) -> None:
    """Raise ValueError for an option of a sampler in whose place a dataset has its own, which does not take it."""
    for key in sampler.keys() - {'type', *inspect.signature(own).parameters}:
        raise ValueError(
            f'sampler.{key}={sampler[key]!r} is no option of {own.__name__}, which orders the samples of {dataset.__name__}: '
            f"leave it out with sampler=dict(_delete_=True, type='{own.__name__}')"
        )
