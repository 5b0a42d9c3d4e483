"""What a runner writes to checkpoints and reads from them."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import mmengine
from mmengine.dist import broadcast_object_list, get_rank, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from sapiens.checkpoints import explain_refusal, family_of, load_weights, read_weights, resolve_init_cfg
from sapiens.tasks import members_of
from sapiens.utils.checkpoint import original_names
from sapiens.utils.folder_lock import FolderLock
from sapiens.utils.terminal import fact, log_brief, near_path
from sapiens.version import __version__

from .checkpoint_folder import FolderWriter, read_tensors, tensor_shapes
from .checkpoint_io import find_resumable, load_training_state, write_checkpoint
from .equal_model import require_equal_model
from .host_group import gather_on_hosts
from .lora import lora_options, plain_layers, require_equal_lora, reset_lora
from .message_hub import plain
from .run_state import collect_state, get_progress, restore_state
from .runner_builds import BuildingRunner
from .step_values import StepValues

__all__ = ['CheckpointingRunner']


class CheckpointingRunner(BuildingRunner):
    """Differences from :class:`mmengine.runner.Runner` in checkpoints:

    * They hold the state of every process (see :mod:`.run_state`) and need no unpickling. They are written atomically, as a file
      or a folder, and verified before a run continues from one.
    * ``load_from`` accepts names of published models, prints which tensors were loaded, resized and left over, and refuses a
      file that hardly fits.
    """

    # Whether a file of weights must have all tensors of the model. A training may start from some.
    needs_all_weights = False
    _lock: FolderLock | None = None
    _recomputed: str | int | dict | None = None

    # ------------------------------------------------------------------ writing

    @cached_property
    def step_values(self) -> StepValues:
        """Values of training steps that are not read yet."""
        return StepValues()

    def read_step_values(self) -> None:
        """Read the values of the steps since the last call into the message hub, and report skipped steps.

        This waits for the device. Every process must call it after the same step.

        Raises:
            RuntimeError: too many steps were skipped, see :class:`.OptimWrapper`.
        """
        for values in self.step_values.read():
            for name, value in values.items():
                if name != 'grad_norm' or math.isfinite(value):  # it is not that of a skipped step
                    self.message_hub.update_scalar(f'train/{name}', value)
        if hasattr(self.optim_wrapper, 'report'):
            self.optim_wrapper.report()

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
        """Save a checkpoint. Every rank must call this.

        The training loop says which epoch and iteration it is of; ``by_epoch`` of MMEngine's method has no effect.
        """
        with self.timeouts.long():
            self._save_file(Path(out_dir) / filename, save_optimizer, save_param_scheduler, meta)

    def _save_file(self, path: Path, save_optimizer: bool, save_param_scheduler: bool, meta: dict | None) -> None:
        checkpoint = self._collect_checkpoint(save_optimizer, save_param_scheduler, meta)
        problem = [None]
        if is_main_process() or self.parallel.is_sharded:  # hooks add shards too, which all ranks gather
            self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        checkpoint = self.parallel.gather(checkpoint)
        if is_main_process():
            # The file must load on a machine without a GPU.
            checkpoint['state_dict'] = {key: value.cpu() for key, value in checkpoint['state_dict'].items()}
            try:
                if self._lock is not None:
                    self._lock.check()
                write_checkpoint(checkpoint, path)
            except RuntimeError as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0]:
            raise RuntimeError(problem[0])  # on every rank, so that none waits for the one that failed

    def save_folder(
        self,
        path: Path,
        on_complete: Callable[[], None],
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
    ) -> None:
        """Begin to save a checkpoint as a folder; training may go on. Every rank must call this.

        Args:
            path: the folder.
            on_complete: called by the main process, in another thread, when the folder is complete.

        Raises:
            RuntimeError: on every rank, if the checkpoint before could not be written.
        """
        with self.timeouts.long():
            self._start_folder(path, on_complete, save_optimizer, save_param_scheduler)

    def _start_folder(
        self, path: Path, on_complete: Callable[[], None], save_optimizer: bool, save_param_scheduler: bool
    ) -> None:
        checkpoint = self._collect_checkpoint(save_optimizer, save_param_scheduler)
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        problem = None
        if self._lock is not None and is_main_process():
            try:
                self._lock.check()
            except RuntimeError as error:
                problem = str(error)
        problem = gather_on_hosts(problem)[0]
        if problem:
            raise RuntimeError(problem)
        self.folder_writer.start(checkpoint, path, on_complete)

    def _collect_checkpoint(self, save_optimizer: bool, save_param_scheduler: bool, meta: dict | None = None) -> dict:
        self.read_step_values()
        weights = self.bare_model.state_dict()
        meta = dict(
            meta or {},
            **model_facts(self.bare_model, weights),
            **get_progress(self.train_loop),
            cfg=self._config_text,
            experiment_name=self.experiment_name,
            time=time.strftime('%Y%m%d_%H%M%S'),
            sapiens_version=__version__,
            mmengine_version=mmengine.__version__,
            dataset_meta=self._dataset_meta,
            world_size=self.world_size,
        )
        checkpoint = dict(meta=meta, state_dict=weights)
        if save_optimizer:
            checkpoint.update(collect_state(self, save_param_scheduler))
        return checkpoint

    @cached_property
    def folder_writer(self) -> FolderWriter:
        """Writes checkpoints while training goes on."""
        return FolderWriter(self.logger)

    def close_folder_writer(self, others_lost: bool = False) -> None:
        """Wait for the checkpoint that is being written, and free the copy. A failure is in the log.

        Args:
            others_lost: whether processes may be gone, so that the wait is short.
        """
        writer = self.__dict__.pop('folder_writer', None)
        if writer is not None:
            if others_lost:
                writer.give_up()
            writer.close()

    @cached_property
    def _config_text(self) -> str:
        return self.cfg.pretty_text  # formatting it takes most of a second

    @cached_property
    def _dataset_meta(self) -> dict | None:
        return plain(getattr(self.train_dataloader.dataset, 'metainfo', None))

    @property
    def bare_model(self) -> nn.Module:
        """The model without the wrapper of distributed training."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    # ------------------------------------------------------------------ reading

    def load_or_resume(self) -> None:
        """Resume or load weights, as configured.

        ``resume=True`` continues from ``load_from``, or without it from the newest valid checkpoint of the work dir.
        ``resume='auto'`` continues from the work dir if it holds a checkpoint, otherwise it starts from the weights of
        ``load_from``. Use it for jobs that are requeued.
        """
        if self._recomputed is not None:
            self.cfg.activation_checkpointing = self._recomputed
        self._load_or_resume()
        self.terminal.is_quiet = False

    def _load_or_resume(self) -> None:
        if self._has_loaded:
            return
        path = None
        if self._resume and (self._load_from is None or self._resume == 'auto'):
            found = [find_resumable(self.work_dir, self.logger) if is_main_process() else None]
            broadcast_object_list(found)
            path = found[0]
            if path is None:
                text = f'Nothing to resume in {self.work_dir}: the run starts from the beginning'
                log_brief(text, fact('resume', 'nothing yet: from the beginning'), self.logger, timed=False)
        elif self._resume:
            path, problem = self._load_from, [None]
            if is_main_process():
                try:
                    load_training_state(path)
                except (ValueError, FileNotFoundError) as error:
                    problem = [error]
            broadcast_object_list(problem)
            if problem[0]:
                raise problem[0]  # on every rank, so that none waits for the main process
        if path is not None:
            self.resume(path)
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)
        elif not (self.needs_all_weights or has_start(self.bare_model)):
            log_brief('Weights: random', fact('weights', 'random'), self.logger, timed=False)
            if lora_options(self.bare_model):
                self.logger.warning(
                    'lora trains adapters of an encoder with random weights, which it keeps: set load_from=CHECKPOINT'
                )
        self._has_loaded = True

    def _init_model_weights(self) -> None:
        """Initialize the model. Its ``init_cfg`` may name published models."""
        resolve_init_cfg(self.bare_model)
        model = self.bare_model
        with explain_refusal(model), plain_layers(model), self.parallel.initializing():
            if not self.parallel.is_sharded:
                super()._init_model_weights()
            elif hasattr(model, 'init_weights'):
                model.init_weights()
        reset_lora(model, self._seed_of_all)
        # Next, MMEngine reads this key as names of modules. load_or_resume puts it back.
        self._recomputed = self.cfg.pop('activation_checkpointing', None)

    @property
    def _seed_of_all(self) -> int:
        """Seed of the run, which is that of the main process."""
        return self.seed - (get_rank() if self._randomness_cfg.get('diff_rank_seed') else 0)

    def load_checkpoint(self, filename: str, map_location: str = 'cpu', strict: bool = False, revise_keys=()) -> None:
        """Load weights only: any file that :func:`sapiens.utils.checkpoint.read_checkpoint` reads, or a published model by name.

        Raises:
            ValueError: the file cannot be read, or most of the backbone would not be loaded.
        """
        checkpoint = read_weights(filename)
        with plain_layers(self.bare_model):  # adapters of the file are merged into its weights
            report = load_weights(self.bare_model, checkpoint, required='' if self.needs_all_weights else None)
        # Hooks (such as an average of the weights) copy the weights as they fit this model.
        loaded = dict(state_dict=self.bare_model.state_dict(), meta=checkpoint.meta)
        self.call_hook('after_load_checkpoint', checkpoint=loaded)
        self._has_loaded = True
        log_brief(f'Weights from {filename}:\n{report}', fact('weights', report.brief), self.logger, timed=False)

    def resume(self, filename: str | Path) -> None:
        """Continue a run with its weights and its whole state. Before :meth:`train`, this is what training begins with.

        Raises:
            ValueError: the checkpoint is of another model, other adapters or other trained parameters. Nothing is replaced.
        """
        if not isinstance(self.optim_wrapper, OptimWrapper):  # nothing is built yet
            self._resume, self._load_from, self._has_loaded = True, str(filename), False
            return
        if Path(filename).is_dir():
            parameters = [one for group in self.optim_wrapper.param_groups for one in group['params']]
            state = load_training_state(filename, verify=False)
            self._require_equal(state, tensor_shapes(Path(filename)), filename)
            checkpoint = read_tensors(Path(filename), state, self.bare_model.state_dict(), parameters)
        else:
            checkpoint = load_training_state(filename, verify=False)  # the main process has verified it
            shapes = {name: value.shape for name, value in checkpoint['state_dict'].items()}
            self._require_equal(checkpoint, shapes, filename)
            checkpoint = self.parallel.split(checkpoint, self.bare_model, self.optim_wrapper.optimizer)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        self.bare_model.load_state_dict(checkpoint['state_dict'], strict=True)
        restore_state(self, checkpoint, str(filename))
        before, now = checkpoint['meta'].get('dataset_meta') or {}, self._dataset_meta or {}
        changed = [key for key in before if key in now and repr(before[key]) != repr(now[key])]
        if changed:
            self.logger.warning(
                f'The training data differ from those of {filename} in their metainfo ({", ".join(changed)}). Do not resume '
                'if labels have another meaning now'
            )
        self._has_loaded = True
        place = f'epoch {self.epoch}, iteration {self.iter}'
        text = fact('weights', f'of {near_path(filename)}, which the run continues from: {place}')
        log_brief(f'Resumed from {filename}: {place}', text, self.logger, timed=False)

    def _require_equal(self, checkpoint: dict, shapes: Mapping[str, Sequence[int]], source: str | Path) -> None:
        """Check that a checkpoint is of this model, with these adapters, and of its trained parameters."""
        require_equal_lora(self.bare_model, checkpoint['meta'], str(source))
        groups = checkpoint['optimizer']['param_groups']
        require_equal_model(self.bare_model, self.optim_wrapper.optimizer, shapes, groups, str(source))


def has_start(model: nn.Module) -> bool:
    """Whether an ``init_cfg`` of a model names a checkpoint."""
    starts = (getattr(module, 'init_cfg', None) for module in model.modules())
    return any(isinstance(start, dict) and start.get('checkpoint') for start in starts)


def model_facts(model: nn.Module, names: Iterable[str]) -> dict[str, str | dict]:
    """Get what ``meta`` says of a model, by which a file is recognized: ``task`` and ``family``, where the model has them, and
    ``tasks`` by name of a model of several; and the options of its adapters, ``lora``.

    Args:
        names: of its tensors.
    """
    family = family_of(original_names(names), 'backbone.')
    facts = dict(task=getattr(model, 'task_name', None), family=family and family.name, lora=lora_options(model))
    facts['tasks'] = {name: part.task_name for name, part in members_of(model).items()} or None
    return {key: value for key, value in facts.items() if value is not None}
