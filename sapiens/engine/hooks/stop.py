"""Stopping a run so that it can go on."""

import signal
import sys
from pathlib import Path

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook

from sapiens.registry import HOOKS

from ..signals import STOP_SIGNALS

__all__ = ['StopHook']


@HOOKS.register_module()
class StopHook(Hook):
    """On SIGTERM, SIGUSR1 (a cluster's notice of pre-emption) or Ctrl-C: finish the step, write a checkpoint, exit.

    One rank that was signalled stops all of them at the same step. The exit status is 128 + the signal's number, so that
    a job script can tell a stopped run (queue it again with ``--resume``) from a finished one. A second Ctrl-C aborts at
    once, without a checkpoint.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.received = 0
        self.previous: dict = {}

    def before_train(self, runner) -> None:
        for number in STOP_SIGNALS:
            self.previous[number] = signal.signal(number, self._receive)

    def _receive(self, number, frame) -> None:
        if self.received and number == signal.SIGINT:
            self._restore()
            raise KeyboardInterrupt
        self.received = int(number)
        name = signal.Signals(number).name
        print(f'{name} received: finishing this step, then a checkpoint is written', file=sys.stderr, flush=True)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        received = self.received
        if get_world_size() > 1:
            flag = torch.tensor([float(received)], device=runner.optim_wrapper.device)
            all_reduce(flag, op='max')
            received = int(flag.item())
        if not received:
            return
        path = Path(runner.work_dir) / f'iter_{runner.iter + 1}.pth'
        runner.save_checkpoint(runner.work_dir, path.name, by_epoch=False)
        name = signal.Signals(received).name
        runner.logger.info(
            f'Stopped by {name} after iteration {runner.iter + 1}: {path} is written. Go on with --resume'
        )
        runner.train_loop.stop_training = True
        runner.exit_status = 128 + received

    def after_train(self, runner) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}
