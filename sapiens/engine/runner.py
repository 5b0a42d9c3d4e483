"""MMEngine's runner with checkpoints that continue a run exactly."""

import time
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import mmengine
import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner as _Runner
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from sapiens.registry import DATASETS, FUNCTIONS
from sapiens.utils.checkpoint import load_state, read_checkpoint
from sapiens.utils.memory import keep_tensor_memory
from sapiens.version import __version__

from .checkpoint_io import find_resumable, load_training_state, write_checkpoint
from .compiling import compile_parts
from .hooks import StopHook
from .message_hub import pack_message_hub, plain, unpack_message_hub
from .random_state import derived_random_state
from .worker_signals import init_worker, kill_workers_at_exit

__all__ = ['Runner']


class Runner(_Runner):
    """What differs from :class:`mmengine.runner.Runner`:

    * checkpoints hold the random state and the data position of every rank, contain nothing that needs unpickling, are
      written atomically, and are verified before a run continues from one;
    * ``load_from`` prints what was loaded, resized and left over, and refuses a file that hardly fits;
    * the learning rate follows the real total batch, gradient accumulation included;
    * ``compile=True`` compiles blocks and heads, where MMEngine compiles the whole step, which ends in an error;
    * several processes work on CPUs too (gloo).
    """

    # What the process should exit with; a run that was told to stop sets 128 + the signal's number.
    exit_status = 0

    # ------------------------------------------------------------------ set-up

    def setup_env(self, env_cfg: dict) -> None:
        keep_tensor_memory()  # before torch allocates anything
        env_cfg = dict(env_cfg)
        dist_cfg = dict(env_cfg.get('dist_cfg') or {})
        if dist_cfg.get('backend', 'auto') == 'auto':
            dist_cfg['backend'] = 'nccl' if torch.cuda.is_available() else 'gloo'
        env_cfg['dist_cfg'] = dist_cfg
        if self.distributed and not torch.cuda.is_available() and not torch.distributed.is_initialized():
            # mmengine selects a CUDA device before it starts any backend.
            if self.launcher != 'pytorch':
                raise ValueError(f'launcher={self.launcher!r} needs GPUs; on CPUs use torchrun and launcher=pytorch')
            timeout = timedelta(seconds=dist_cfg.get('timeout', 1800))
            torch.distributed.init_process_group(dist_cfg['backend'], timeout=timeout)
        super().setup_env(env_cfg)
        kill_workers_at_exit()

    def wrap_model(self, model_wrapper_cfg: dict | None, model):
        if self.distributed and not torch.cuda.is_available():
            unused = self.cfg.get('find_unused_parameters', False)
            model_wrapper_cfg = dict(
                model_wrapper_cfg or dict(broadcast_buffers=False, find_unused_parameters=unused), device_ids=None
            )
        return super().wrap_model(model_wrapper_cfg, model)

    @staticmethod
    def build_dataloader(dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False):
        """Build a loader whose workers survive the signals that stop a run, and which draws nothing from the global
        random state. Streams need no sampler."""
        if isinstance(dataloader, DataLoader):
            return dataloader
        dataloader = dict(dataloader)
        if seed is not None and diff_rank_seed:
            seed -= get_rank()  # all ranks must shuffle alike; samples differ by their place in the epoch
        dataset = dataloader['dataset']
        kind = DATASETS.get(dataset['type']) if isinstance(dataset, dict) else type(dataset)
        if kind is not None and issubclass(kind, IterableDataset):
            dataloader['sampler'] = None
        if not dataloader.get('num_workers'):
            dataloader.pop('persistent_workers', None)
        collate = dict(dataloader.get('collate_fn') or dict(type='pseudo_collate'))
        if isinstance(collate['type'], str):  # mmengine would not look into the registry of this package
            collate['type'] = FUNCTIONS.get(collate['type'])
        dataloader['collate_fn'] = collate
        dataloader.setdefault('worker_init_fn', dict(type=init_worker))
        dataloader.setdefault('pin_memory', torch.cuda.is_available())
        loader = _Runner.build_dataloader(dataloader, seed, False)
        loader.generator = torch.Generator().manual_seed(seed or 0)
        return loader

    def scale_lr(self, optim_wrapper, auto_scale_lr: dict | None = None) -> None:
        """Scale the learning rate by the real total batch over ``base_batch_size``."""
        if not auto_scale_lr or not auto_scale_lr.get('enable', False):
            return
        if 'base_batch_size' not in auto_scale_lr:
            raise ValueError(f'auto_scale_lr={auto_scale_lr} needs base_batch_size, the batch that lr is meant for')
        loader = self._train_dataloader
        per_rank = loader.batch_size if isinstance(loader, DataLoader) else loader['batch_size']
        accumulated = optim_wrapper._accumulative_counts
        total = per_rank * self.world_size * accumulated
        ratio = total / auto_scale_lr['base_batch_size']
        for group in optim_wrapper.optimizer.param_groups:
            group['lr'] *= ratio
        if optim_wrapper.base_param_settings is not None:
            optim_wrapper.base_param_settings['lr'] *= ratio
        self.logger.info(
            f'Learning rate scaled by {ratio:g}: {per_rank} images x {self.world_size} process(es) x {accumulated} '
            f'accumulated = {total}, lr is given for {auto_scale_lr["base_batch_size"]}'
        )

    # ------------------------------------------------------------------ running

    def train(self) -> nn.Module:
        """Launch training.

        Raises:
            SystemExit: where a signal stopped the run (after its checkpoint was written), with the status 128 + the
                signal's number, so that nothing takes the run for a finished one.
        """
        try:
            model = super().train()
        finally:
            for hook in self.hooks:
                if isinstance(hook, StopHook):
                    hook.restore_handlers()
        if self.exit_status:
            raise SystemExit(self.exit_status)
        return model

    def _maybe_compile(self, target: str) -> None:
        if options := self.cfg.get('compile'):
            compile_parts(self._bare_model, options)

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """Save a checkpoint; every rank must call this.

        ``by_epoch`` says that an epoch has just ended (its number is not yet counted up), otherwise an iteration has.
        """
        meta = dict(meta or {})
        meta.setdefault('epoch', self.epoch + (1 if by_epoch else 0))
        meta.setdefault('iter', self.iter + (0 if by_epoch else 1))
        meta.update(
            cfg=self._config_text,
            seed=self.seed,
            experiment_name=self.experiment_name,
            time=time.strftime('%Y%m%d_%H%M%S'),
            sapiens_version=__version__,
            mmengine_version=mmengine.__version__,
            dataset_meta=plain(getattr(self.train_dataloader.dataset, 'metainfo', None)),
            world_size=self.world_size,
            data_seed=getattr(self.train_dataloader.sampler, 'seed', None),
        )
        checkpoint = dict(meta=meta, state_dict=self._bare_model.state_dict())
        if save_optimizer:
            states = all_gather_object(
                dict(
                    rng=self.train_loop.random_state(),
                    data=self.train_loop.data_position(by_epoch),
                    hooks={type(hook).__name__: hook.state_dict() for hook in self._stateful_hooks},
                )
            )
            checkpoint.update(
                optimizer=self.optim_wrapper.state_dict(),
                rng=[state['rng'] for state in states],
                data=[state['data'] for state in states],
                hooks=[state['hooks'] for state in states],
                message_hub=pack_message_hub(self.message_hub),
            )
            if save_param_scheduler and self.param_schedulers is not None:
                checkpoint['param_schedulers'] = [plain(scheduler.state_dict()) for scheduler in self.param_schedulers]
        problem = [None]
        if is_main_process():
            self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
            # A file of weights must load where there is no GPU.
            checkpoint['state_dict'] = {key: value.cpu() for key, value in checkpoint['state_dict'].items()}
            try:
                write_checkpoint(checkpoint, Path(out_dir) / filename)
            except RuntimeError as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0]:
            raise RuntimeError(problem[0])  # on every rank: none must wait for the one that failed

    @cached_property
    def _config_text(self) -> str:
        return self.cfg.pretty_text  # formatting it takes most of a second

    @property
    def _bare_model(self) -> nn.Module:
        return self.model.module if is_model_wrapper(self.model) else self.model

    @property
    def _stateful_hooks(self) -> list:
        """Hooks with ``state_dict()`` and ``load_state_dicts(states of all ranks, rank)``."""
        return [hook for hook in self.hooks if hasattr(hook, 'load_state_dicts')]

    # ------------------------------------------------------------------ reading

    def load_or_resume(self) -> None:
        """``resume=True`` continues from ``load_from``, or without one from the newest valid checkpoint of the work dir.
        ``resume='auto'`` continues from the work dir if it holds a checkpoint, and else starts from the weights of
        ``load_from``: the setting for jobs that are queued again and again."""
        if self._has_loaded:
            return
        path = None
        if self._resume and (self._load_from is None or self._resume == 'auto'):
            found = [None]
            if is_main_process():
                found = [find_resumable(self.work_dir, self.logger)]
            broadcast_object_list(found)
            path = found[0]
            if path is None:
                self.logger.info(f'Nothing to resume in {self.work_dir}: the run starts at the beginning')
        elif self._resume:
            path = self._load_from
            if is_main_process():
                load_training_state(path)
        if path is not None:
            self.resume(path)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)
        self._has_loaded = True

    def load_checkpoint(self, filename: str, map_location: str = 'cpu', strict: bool = False, revise_keys=()) -> None:
        """Load weights only, from any file :func:`sapiens.utils.checkpoint.read_checkpoint` reads, or a published name.

        Raises:
            ValueError: where the file cannot be read or most of the backbone would stay as it is.
        """
        checkpoint = read_checkpoint(filename)
        report = load_state(self._bare_model, checkpoint.state_dict)
        # What a hook copies (an average of the weights, say) are the weights as they fit this model.
        loaded = dict(state_dict=self._bare_model.state_dict(), meta=checkpoint.meta)
        self.call_hook('after_load_checkpoint', checkpoint=loaded)
        self._has_loaded = True
        self.logger.info(f'Weights from {filename}:\n{report}')

    def resume(self, filename: str | Path, *args, **kwargs) -> None:
        """Continue a run: weights, optimizer, schedules, curves, random state of every rank, data position."""
        checkpoint = load_training_state(filename, verify=False)  # by now the main process has verified it
        meta, loop = checkpoint['meta'], self.train_loop
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        self._bare_model.load_state_dict(checkpoint['state_dict'], strict=True)
        loop._epoch, loop._iter = meta['epoch'], meta['iter']
        unpack_message_hub(self.message_hub, checkpoint.get('message_hub'))
        self.optim_wrapper.load_state_dict(checkpoint['optimizer'])
        states = checkpoint.get('param_schedulers') or []
        if len(states) != len(self.param_schedulers or []):
            raise ValueError(
                f'{filename} holds the state of {len(states)} schedules, this config has '
                f'{len(self.param_schedulers or [])}: resume with the config that the run was started with'
            )
        for scheduler, state in zip(self.param_schedulers or [], states, strict=True):
            scheduler.load_state_dict(state)
        loop.load_data_position(checkpoint['data'])
        for hook in self._stateful_hooks:
            name = type(hook).__name__
            if all(name in states for states in checkpoint.get('hooks') or [{}]):
                hook.load_state_dicts([states[name] for states in checkpoint['hooks']], self.rank)
        if len(checkpoint['rng']) == self.world_size:
            loop._random_state = checkpoint['rng'][self.rank]
        else:
            loop._random_state = derived_random_state(meta['seed'], meta['iter'], self.rank)
            self.logger.warning(
                f'{filename} was written by {len(checkpoint["rng"])} process(es), this run has {self.world_size}: the '
                'data go on where they were, with new random numbers; learning rate and schedules stay those of the '
                'checkpoint'
            )
        sampler = self.train_dataloader.sampler
        if meta.get('data_seed') is not None and meta['data_seed'] != getattr(sampler, 'seed', None):
            self.logger.warning(f'The data keep the order of seed {meta["data_seed"]}, with which the run was started')
            sampler.seed = meta['data_seed']
        self._has_loaded = True
        self.logger.info(f'Resumed from {filename}: epoch {loop.epoch}, iteration {loop.iter}')
