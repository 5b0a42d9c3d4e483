"""MMEngine's runner with exact resume."""

import copy
import os
from datetime import timedelta

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from torch import nn

from sapiens.checkpoints import (
    require_starts,
)
from sapiens.utils.folder_lock import FolderLock
from sapiens.utils.foreign import refuse_foreign
from sapiens.utils.launcher_watch import stop_with_launcher
from sapiens.utils.memory import keep_tensor_memory

from .collective_timeouts import CollectiveTimeouts
from .compiling import compile_parts
from .estimate.out_of_memory import explain_memory_errors
from .evaluators import complete_evaluators
from .flight_recorder import FlightRecorder, is_collective_error
from .flight_recorder import prepare as prepare_flight_recorder
from .launch_state import resumes_by_itself
from .matmul_precision import matmul_precision
from .process_variables import set_process_variables
from .runner_checkpoints import CheckpointingRunner
from .worker_signals import kill_workers_at_exit

__all__ = ['Runner']


class Runner(CheckpointingRunner):
    """Differences from :class:`mmengine.runner.Runner`, in addition to those of :class:`.BuildingRunner` and
    :class:`.CheckpointingRunner`:

    * ``compile=True`` compiles blocks and heads. MMEngine compiles the whole step, which ends in an error. ``float8=True``
      multiplies in float8 in blocks.
    * Several processes also work on CPUs (gloo). They end when torchrun was killed.
    * One run at a time trains in a work dir.
    * A training step does not wait for the device: the values of steps are read where they are logged.
    """

    # Exit status of the process; a run stopped by a signal sets 128 + the signal's number.
    exit_status = 0

    # ------------------------------------------------------------------ set-up

    def setup_env(self, env_cfg: dict) -> None:
        keep_tensor_memory()  # before torch allocates anything
        stop_with_launcher()
        dist_cfg = dict(env_cfg.get('dist_cfg') or {})
        if dist_cfg.get('backend', 'auto') == 'auto':
            dist_cfg['backend'] = 'nccl' if torch.cuda.is_available() else 'gloo'
            if torch.cuda.is_available() and (self.cfg.get('parallel') or {}).get('cpu_offload'):
                dist_cfg['backend'] = 'cpu:gloo,cuda:nccl'  # the gradients' norm is that of parts on the host
        self.timeouts = CollectiveTimeouts(dist_cfg.setdefault('timeout', 1800), dist_cfg.pop('step_timeout', 120))
        if self.distributed and not torch.distributed.is_initialized():
            set_process_variables(self.launcher, visible_gpus=torch.cuda.device_count())
            self._launcher = 'pytorch'  # MMEngine reads variables of fewer launchers
            prepare_flight_recorder(self.work_dir)
            for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
                os.environ.setdefault(name, '1')  # as mmengine does, with a warning by each process
        if self.distributed and not torch.cuda.is_available() and not torch.distributed.is_initialized():
            # mmengine selects a CUDA device before it starts any backend.
            timeout = timedelta(seconds=dist_cfg['timeout'])
            torch.distributed.init_process_group(dist_cfg['backend'], timeout=timeout)
        super().setup_env(dict(env_cfg, dist_cfg=dist_cfg))
        kill_workers_at_exit()

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'Runner':
        """Build a runner; see :func:`.complete_evaluators`.

        Raises:
            ValueError: the config names classes of other packages that do not work here.
            FileNotFoundError: it starts from a checkpoint that is not there.
        """
        cfg = copy.deepcopy(cfg)
        refuse_foreign(cfg.to_dict(), getattr(cfg, 'filename', None) or 'the config')
        complete_evaluators(cfg)
        require_starts(cfg)
        return super().from_cfg(cfg)

    # ------------------------------------------------------------------ running

    def train(self) -> nn.Module:
        """Launch training.

        Raises:
            SystemExit: a signal stopped the run, after its checkpoint was written. The status is 128 + the signal's number.
            ValueError: another run works in the work dir, or it cannot be written.
            torch.OutOfMemoryError: with an estimate and the options that help, see :func:`.explain_memory_errors`.
        """
        # Hooks with a method ``restore`` undo what they changed in the process, however training ends.
        wrapper = self.optim_wrapper
        precision = wrapper.get('precision') if isinstance(wrapper, dict) else getattr(wrapper, 'precision', None)
        products = matmul_precision(
            (self.cfg.get('env_cfg') or {}).get('matmul_precision', 'auto'), precision or 'auto'
        )
        lock, recorder = self._lock_work_dir(), FlightRecorder(self.work_dir)
        try:
            if resumes_by_itself(self.work_dir):
                self._resume = 'auto'
            with products, explain_memory_errors(self.cfg, self.world_size):
                model = super().train()
        except Exception as error:
            recorder.report(error)
            self.close_folder_writer(others_lost=is_collective_error(error))
            raise
        finally:
            recorder.close()
            self.close_folder_writer()  # it writes into the work dir
            lock.release()
            for hook in self.hooks:
                if hasattr(hook, 'restore'):
                    hook.restore()
        if self.exit_status:
            raise SystemExit(self.exit_status)
        return model

    def _lock_work_dir(self) -> FolderLock:
        """Lock the work dir by the main process; every process raises if it is in use."""
        advice = 'wait for that run, stop it (it then writes a checkpoint), or choose another --work-dir'
        self._lock, problem = FolderLock(self.work_dir, advice, self.logger.warning), [None]
        if is_main_process():
            try:
                self._lock.acquire()
            except (ValueError, OSError) as error:  # the latter for a folder that cannot be written
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0]:
            raise ValueError(problem[0])
        return self._lock

    def val(self) -> dict:
        """Launch validation. Weights of ``load_from`` that do not have all tensors of the model are refused."""
        self.needs_all_weights = True
        return super().val()

    def test(self) -> dict:
        """Launch the test. Weights of ``load_from`` that do not have all tensors of the model are refused."""
        self.needs_all_weights = True
        return super().test()

    def _maybe_compile(self, target: str) -> None:
        if options := self.cfg.get('compile'):
            compile_parts(self.bare_model, options)
