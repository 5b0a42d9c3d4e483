"""MMEngine's runner with checkpoints that continue a run exactly."""

import time
from pathlib import Path

import mmengine
import torch
from mmengine.dist import all_gather_object, barrier, broadcast_object_list, get_rank, is_main_process
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.registry import DATASETS
from mmengine.runner import Runner as _Runner
from torch.utils.data import DataLoader, IterableDataset

from sapiens.registry import FUNCTIONS
from sapiens.utils.checkpoint import load_state, read_checkpoint
from sapiens.version import __version__

from .checkpoint_io import find_resumable, load_training_state, write_checkpoint
from .random_state import get_random_state
from .signals import init_worker, kill_workers_at_exit

__all__ = ['Runner']

# Of each curve the checkpoint keeps the tail that smoothing looks at; the files of the visual backends hold all of it.
KEPT_HISTORY = 1000


class Runner(_Runner):
    """What differs from :class:`mmengine.runner.Runner`:

    * checkpoints hold the random state and the data position of every rank, contain nothing that needs unpickling, are
      written atomically, and are verified before a run continues from one;
    * ``load_from`` prints what was loaded, resized and left over, and refuses a file that hardly fits;
    * the learning rate follows the real total batch, gradient accumulation included;
    * several processes work on CPUs too (gloo).
    """

    # ------------------------------------------------------------------ set-up

    def setup_env(self, env_cfg: dict) -> None:
        env_cfg = dict(env_cfg)
        dist_cfg = dict(env_cfg.get('dist_cfg') or {})
        if dist_cfg.get('backend', 'auto') == 'auto':
            dist_cfg['backend'] = 'nccl' if torch.cuda.is_available() else 'gloo'
        env_cfg['dist_cfg'] = dist_cfg
        if self.launcher == 'pytorch' and not torch.cuda.is_available() and not torch.distributed.is_initialized():
            # mmengine selects a CUDA device before it starts any backend.
            torch.distributed.init_process_group(dist_cfg['backend'])
        super().setup_env(env_cfg)
        kill_workers_at_exit()

    def wrap_model(self, model_wrapper_cfg: dict | None, model):
        if self.distributed and not torch.cuda.is_available():
            model_wrapper_cfg = dict(
                model_wrapper_cfg or dict(type='MMDistributedDataParallel', broadcast_buffers=False)
            )
            model_wrapper_cfg.setdefault('device_ids', None)
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
        worker_seed = (seed or 0) + 1009 * get_rank()
        dataloader.setdefault('worker_init_fn', dict(type=init_worker, seed=worker_seed))
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

    # ------------------------------------------------------------------ writing

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
            cfg=self.cfg.pretty_text,
            seed=self.seed,
            experiment_name=self.experiment_name,
            time=time.strftime('%Y%m%d_%H%M%S'),
            sapiens_version=__version__,
            mmengine_version=mmengine.__version__,
            dataset_meta=plain(getattr(self.train_dataloader.dataset, 'metainfo', None)),
            world_size=self.world_size,
            data_seed=getattr(self.train_dataloader.sampler, 'seed', None),
        )
        model = self.model.module if is_model_wrapper(self.model) else self.model
        checkpoint = dict(meta=meta, state_dict=model.state_dict())
        if save_optimizer:
            states = all_gather_object(dict(rng=get_random_state(), data=self.train_loop.data_position(by_epoch)))
            checkpoint.update(
                optimizer=self.optim_wrapper.state_dict(),
                rng=[state['rng'] for state in states],
                data=[state['data'] for state in states],
                message_hub=pack_message_hub(self.message_hub),
            )
            if save_param_scheduler and self.param_schedulers is not None:
                checkpoint['param_schedulers'] = [plain(scheduler.state_dict()) for scheduler in self.param_schedulers]
        if is_main_process():
            self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
            write_checkpoint(checkpoint, Path(out_dir) / filename)
        barrier()

    # ------------------------------------------------------------------ reading

    def load_or_resume(self) -> None:
        if self._has_loaded:
            return
        if self._resume:
            path = self._load_from
            if path is None:
                found = [None]
                if is_main_process():
                    found = [find_resumable(self.work_dir, self.logger)]
                broadcast_object_list(found)
                path = found[0]
            if path is None:
                self.logger.info(f'Nothing to resume in {self.work_dir}: the run starts at the beginning')
            else:
                self.resume(path)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)
        self._has_loaded = True

    def load_checkpoint(self, filename: str, map_location: str = 'cpu', strict: bool = False, revise_keys=()) -> None:
        """Load weights only, from any file :func:`sapiens.utils.checkpoint.read_checkpoint` reads.

        Raises:
            ValueError: where the file cannot be read or most of the backbone would stay as it is.
        """
        model = self.model.module if is_model_wrapper(self.model) else self.model
        report = load_state(model, read_checkpoint(filename).state_dict)
        self._has_loaded = True
        self.logger.info(f'Weights from {filename}:\n{report}')

    def resume(self, filename: str | Path, *args, **kwargs) -> None:
        """Continue a run: weights, optimizer, schedules, curves, random state of every rank, data position."""
        checkpoint = load_training_state(filename)
        meta, loop = checkpoint['meta'], self.train_loop
        model = self.model.module if is_model_wrapper(self.model) else self.model
        model.load_state_dict(checkpoint['state_dict'], strict=True)
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
        if len(checkpoint['rng']) == self.world_size:
            loop._random_state = checkpoint['rng'][self.rank]
        else:
            self.logger.warning(
                f'{filename} was written by {len(checkpoint["rng"])} process(es), this run has {self.world_size}: the '
                'data go on where they were, but the random state cannot be continued, and schedules counted in '
                'iterations keep the length they had'
            )
        sampler = self.train_dataloader.sampler
        if meta.get('data_seed') is not None and meta['data_seed'] != getattr(sampler, 'seed', None):
            self.logger.warning(f'The data keep the order of seed {meta["data_seed"]}, with which the run was started')
            sampler.seed = meta['data_seed']
        self._has_loaded = True
        self.logger.info(f'Resumed from {filename}: epoch {loop.epoch}, iteration {loop.iter}')


def plain(value):
    """Only dicts, lists, tuples, strings, numbers, booleans, None and tensors: what can be read without unpickling."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    if hasattr(value, 'tolist') and not isinstance(value, torch.Tensor):
        return value.tolist()
    if value is None or isinstance(value, str | int | float | bool | torch.Tensor):
        return value
    return str(value)


def pack_message_hub(hub) -> dict:
    """The message hub as plain values, curves cut to their tail."""
    curves = {}
    for key, buffer in hub.log_scalars.items():
        if hub._resumed_keys.get(key, False):
            values, counts = buffer.data
            curves[key] = [torch.as_tensor(values[-KEPT_HISTORY:]), torch.as_tensor(counts[-KEPT_HISTORY:])]
    info = {
        key: value
        for key, value in hub.runtime_info.items()
        if hub._resumed_keys.get(key, False) and isinstance(value, str | int | float | bool | list)
    }
    return dict(curves=curves, info=plain(info))


def unpack_message_hub(hub, packed: dict | None) -> None:
    for key, (values, counts) in (packed or {}).get('curves', {}).items():
        hub.log_scalars[key] = HistoryBuffer(values.tolist(), counts.tolist())
        hub._resumed_keys[key] = True
    for key, value in (packed or {}).get('info', {}).items():
        if key not in ('cfg', 'experiment_name'):
            hub._runtime_info[key] = value
            hub._resumed_keys[key] = True
