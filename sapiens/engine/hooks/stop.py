"""Stops a run on a signal, after a checkpoint."""

import logging
import os
import signal

from mmengine.hooks import Hook

from sapiens.registry import HOOKS
from sapiens.utils.option_values import require_number
from sapiens.utils.stop_signals import STOP_SIGNALS

from ..agreement import Agreement
from ..outputs import drop_closed_outputs
from .checkpoint import CheckpointHook

__all__ = ['StopHook']


@HOOKS.register_module()
class StopHook(Hook):
    """On SIGTERM, SIGUSR1, SIGUSR2 (notices of a cluster) or Ctrl-C: finish the step, write a checkpoint, exit.

    A signal to one rank stops all ranks after the same optimizer step. Ranks tell each other about signals every ``seconds``, by
    one reduction on the host, which does not wait for the device. The exit status is 128 + the signal's number (143, 138, 140,
    130), so a job script can requeue a stopped run with ``--resume``. A signal during validation takes effect after it. A second
    Ctrl-C aborts at once, without a checkpoint. Without a :class:`CheckpointHook` the run stops without one. A run goes on when
    the reader of its output ends (as the ``tee`` of ``... | tee log`` on Ctrl-C).

    Args:
        seconds: from one exchange between ranks to the next, rounded to whole steps; 0 for every step. A single process stops
            after its step.

    Raises:
        ValueError: ``seconds`` is not a number of 0 or more.
    """

    priority = 'LOWEST'  # after a scheduled checkpoint

    def __init__(self, seconds: float = 2.0) -> None:
        require_number('default_hooks.stop.seconds', seconds, least=0)
        self.agreement = Agreement(seconds)
        self.received = 0
        self.previous: dict = {}

    def before_train(self, runner) -> None:
        self.received = 0
        self.agreement.restart()
        for number in STOP_SIGNALS:
            self.previous[number] = signal.signal(number, self._receive)
        self.previous[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, drop_closed_outputs)
        self.reports_of_logging, logging.raiseExceptions = logging.raiseExceptions, False

    def _receive(self, number, frame) -> None:
        if self.received and number == signal.SIGINT:
            self.restore()
            raise KeyboardInterrupt
        self.received = int(number)
        # A handler cannot use the logger or sys.stderr, which may be in the middle of a line.
        os.write(2, f'{signal.Signals(number).name} received: finishing this step to write a checkpoint\n'.encode())

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if runner.optim_wrapper.should_update():  # checkpoints do not hold pending gradients
            self._stop_if(self.agreement.after_step(self.received), runner, runner.iter + 1)

    def after_val_epoch(self, runner, metrics=None) -> None:
        if self.previous and runner.optim_wrapper.should_update():
            self._stop_if(self.agreement.exchange(self.received), runner, runner.iter)

    def _stop_if(self, received: float | None, runner, iteration: int) -> None:
        if not received:
            return
        received = int(received)
        name = signal.Signals(received).name
        done = f'Stopped by {name} after iteration {iteration}'
        checkpoint = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        if checkpoint is None:
            runner.logger.warning(f'{done}; nothing is saved, because there is no CheckpointHook')
        else:
            checkpoint.save_now(runner, iteration)
            checkpoint.finish(runner)
            runner.logger.info(f'{done}: {checkpoint.last_ckpt} is written. Continue with --resume')
        runner.train_loop.stop_training = True
        runner.exit_status = 128 + received

    def restore(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        if self.previous:
            logging.raiseExceptions = self.reports_of_logging
        self.previous = {}
