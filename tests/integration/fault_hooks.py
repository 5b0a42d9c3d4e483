"""Hooks that slow or end processes of a run. Imported by the config of test_faults.py."""

import os
import signal
import time
from pathlib import Path

import torch.distributed.checkpoint as dcp
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from sapiens.registry import HOOKS


@HOOKS.register_module()
class PaceHook(Hook):
    """Makes steps last some time, so that faults come in the middle of a run.

    Args:
        seconds: added to each step.
        slow_rank: process that takes ten times as long.
    """

    def __init__(self, seconds: float, slow_rank: int | None = None) -> None:
        self.seconds = seconds * (10 if get_rank() == slow_rank else 1)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        time.sleep(self.seconds)


@HOOKS.register_module()
class DieInSaveHook(Hook):
    """Kills one process once, after half of its part of a checkpoint folder is written, or lets it wait there for 10 s.

    Args:
        name: of the folder.
        rank: of the process.
        marker: file that is made before that; nothing happens where it exists.
        waits: in place of the end.
    """

    def __init__(self, name: str, rank: int, marker: str, waits: bool = False) -> None:
        self.name, self.rank, self.marker, self.waits = name, rank, Path(marker), waits

    def before_train(self, runner):
        if get_rank() == self.rank and not self.marker.exists():
            write = dcp.FileSystemWriter.write_data

            def write_half(writer, *args):
                done = write(writer, *args)
                if writer.final.name == self.name:
                    done.wait()
                    parts = list(Path(writer.path).glob(f'*_{self.rank}_*.distcp'))
                    assert parts, list(Path(writer.path).iterdir())
                    for part in parts:
                        os.truncate(part, part.stat().st_size // 2)
                    self.marker.touch()
                    if self.waits:
                        time.sleep(10)
                    os.kill(os.getpid(), signal.SIGKILL)
                return done

            dcp.FileSystemWriter.write_data = write_half
