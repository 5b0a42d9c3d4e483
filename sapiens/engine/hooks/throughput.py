"""Logs speed and memory of training."""

import psutil
import torch
from mmengine.hooks import Hook

from sapiens.registry import HOOKS

__all__ = ['ThroughputHook']

WINDOW = 10  # iterations, as in the smoothing of the log


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs ``images_per_s`` over all ranks, ``data_share`` (fraction of time spent waiting for data) and, without CUDA,
    ``memory`` (resident MiB of this process; with CUDA, MMEngine logs the peak allocation).

    The first two are means over the last 10 steps of this process, as ``time`` in the log.
    """

    priority = 55  # between IterTimerHook, whose times it reads, and LoggerHook

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        hub = runner.message_hub
        if 'train/time' not in hub.log_scalars:
            return
        seconds = hub.get_scalar('train/time').mean(WINDOW)
        waiting = hub.get_scalar('train/data_time').mean(WINDOW)
        hub.update_scalar('train/images_per_s', runner.train_loop.total_batch / seconds)
        hub.update_scalar('train/data_share', min(1.0, waiting / seconds))
        if not torch.cuda.is_available():
            hub.update_scalar('train/memory', psutil.Process().memory_info().rss // 2**20)
