"""A run that is refused before it starts leaves no files."""

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer

from sapiens.utils.folder_lock import NAME

from .flight_recorder import FOLDER, is_collective_error
from .runner import Runner

__all__ = ['Start', 'leave_no_traces']

# Seconds that other processes wait for the main one.
PATIENCE = 5


class Start:
    """The start of a run.

    Attributes:
        runner: set by the caller once it is built.
    """

    runner: Runner | None = None

    @property
    def is_done(self) -> bool:
        """Whether the data and weights are there, and the run computes."""
        return self.runner is not None and not self.runner.terminal.is_quiet


@contextlib.contextmanager
def leave_no_traces(work_dir: str | Path) -> Iterator[Start]:
    """Remove the log, the config and the folders that a run has made, if an error ends it before it computes.

    What else lies in the work dir stays.
    """
    work_dir = Path(work_dir).absolute()
    made = [one for one in (work_dir, *work_dir.parents) if not one.exists()]
    before = set() if made else set(work_dir.iterdir())
    start = Start()
    try:
        yield start
    except Exception as error:
        if not start.is_done:
            if is_main_process():
                _remove(work_dir, before, is_collective_error(error))
            _remove_empty(made)
        raise


def _remove(work_dir: Path, before: set[Path], keep_reports: bool) -> None:
    if (work_dir / NAME).exists():  # another run works there
        return
    logger = MMLogger.get_current_instance()
    for handler in [one for one in logger.handlers if isinstance(one, logging.FileHandler)]:
        folder = Path(handler.baseFilename).parent
        if folder.parent == work_dir and folder not in before:
            logger.removeHandler(handler)
            handler.close()
            if visualizer := Visualizer._instance_dict.get(logger.instance_name):
                visualizer.close()  # TensorBoard writes in a thread
            shutil.rmtree(folder, ignore_errors=True)
            # A run of the same name in this process would write to the folder that is gone.
            for kind in (MMLogger, Visualizer):
                kind._instance_dict.pop(logger.instance_name, None)
    for path in set(work_dir.glob('*.py')) - before:  # the config
        path.unlink(missing_ok=True)
    if work_dir / FOLDER not in before and not keep_reports:
        shutil.rmtree(work_dir / FOLDER, ignore_errors=True)


def _remove_empty(made: list[Path]) -> None:
    """Remove the folders that this process did not find at its start, the innermost first.

    Any of several processes may have been the first to make them. It waits until the main process has removed their files.
    """
    end = time.monotonic() + (0 if is_main_process() else PATIENCE)
    for folder in made:
        while folder.exists():
            with contextlib.suppress(OSError):  # a folder that is not empty, or that another process removes
                folder.rmdir()
                break
            if time.monotonic() > end:
                return
            time.sleep(0.1)
