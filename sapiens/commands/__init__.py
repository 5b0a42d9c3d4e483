"""The command line. Each module here is one command, with ``main(argv)``; ``sapiens --help`` lists them."""

import errno
import importlib
import linecache
import os
import signal
import sys
import traceback
from typing import NoReturn

from sapiens.utils.first_error import describe, is_lost_connection, report_end
from sapiens.utils.launcher_watch import stop_with_launcher
from sapiens.utils.stop_signals import STOPPED

__all__ = ['COMMANDS', 'run']

# In the order of ``sapiens --help``.
COMMANDS = (
    *('quickstart', 'render', 'scans', 'prepare', 'curate', 'labels', 'index', 'new', 'check', 'browse'),
    *('train', 'test', 'submit', 'ablate', 'curves', 'score', 'config', 'flops', 'estimate', 'hang'),
    *('download', 'convert', 'verify', 'reproduce', 'weights', 'export'),
    *('infer', 'keypoints', 'relight', 'features', 'demo'),
)

# Errors of a file system that fails or is full, whatever the name of the file: another start of a training may succeed.
_FAILING = {
    getattr(errno, name)
    for name in ('EIO', 'ENOSPC', 'EDQUOT', 'ESTALE', 'ETIMEDOUT', 'ENOTCONN', 'EREMOTEIO')
    if hasattr(errno, name)
}


def run(command: str, argv: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its status.

    A wrong path, key or value ends it with one line on stderr and status 2; ``--verbose`` shows where. Other errors are bugs and
    keep their traceback. Behind :mod:`sapiens.utils.torchrun`, which prints the first error of all processes, the line is printed
    once, and a process that only lost its connection to another one prints no traceback.

    Args:
        command: one of :data:`COMMANDS`.
        argv: its arguments; default: those of the process.
    """
    stop_with_launcher()  # before the imports, which take seconds: a launcher that ends meanwhile would not be noticed
    if hasattr(signal, 'SIGPIPE'):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # quiet in `... | head`
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')  # names of files that the terminal cannot show
    try:
        main = importlib.import_module(f'sapiens.commands.{command}').main
        _shorten_lines()
        status = main(argv)
        _leave_group()
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        sys.exit(130)
    except SystemExit as end:
        if end.code in STOPPED:
            report_end('stopped', f'stopped by {STOPPED[end.code].name}')  # whether the others are still there or not
            _leave_group()
        raise
    except Exception as error:
        # Imported here, since it imports torch, which `sapiens --help` does without.
        from sapiens.utils.explain import explain_error
        from sapiens.utils.terminal import is_verbose

        if not is_user_error(error):
            is_told = report_end('failed', describe(error), traceback.format_exc())
            if is_told and is_lost_connection(describe(error)) and not is_verbose():
                # The launcher prints the first error. As many tracebacks as processes would hide it.
                print(f'rank {os.environ["RANK"]} lost its connection: {describe(error)}', file=sys.stderr)
                sys.exit(1)
            raise
        if is_verbose():
            traceback.print_exc()
        text = f'error: {explain_error(error)}'
        if not report_end('failed' if is_failing_system(error) else 'refused', text):
            print(text, file=sys.stderr)
        sys.exit(2)
    sys.exit(status)


def _leave_group() -> None:
    """Leave the group of processes. A process that ends with threads of a group may be aborted after it has done its work."""
    if (torch := sys.modules.get('torch')) and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _shorten_lines() -> None:
    """Take names, dates and levels from the lines of MMEngine's default logger, which commands without a run of training use."""
    from sapiens.utils.terminal import Terminal  # imports torch, as the command does

    Terminal(sys.modules['mmengine.logging'].MMLogger.get_current_instance(), timed=False)


def is_failing_system(error: Exception) -> bool:
    """Whether an error is that of a file system that fails or is full, and not of a wrong input."""
    return isinstance(error, OSError) and error.errno in _FAILING


def is_user_error(error: Exception) -> bool:
    """Whether an error tells the user about an input: a file that the system refuses, or what the code refuses by ``raise``."""
    if isinstance(error, OSError) and error.filename is not None:
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    frame, line = frames[-1]
    modules = [one.f_globals.get('__name__', '') for one, _ in frames]
    if modules[-1].startswith('mmengine.registry'):
        return isinstance(error, KeyError | TypeError)  # a type that does not exist, an argument that it does not take
    if isinstance(error, TypeError) and '__init__() got an unexpected keyword argument' in str(error):
        # An argument of a config that a class hands on to its base class, or that a loader does not take.
        return any(module.startswith(('mmengine.registry', 'mmengine.runner')) for module in modules)
    raised = linecache.getline(frame.f_code.co_filename, line).lstrip().startswith('raise ')
    if modules[-1].startswith(('mmengine.', 'torch.')) and any(
        module.startswith('mmengine.registry') for module in modules
    ):
        return raised and isinstance(error, ValueError | TypeError)  # an argument of a config that its class refuses
    kinds = OSError | ValueError | TypeError | ImportError
    return raised and modules[-1].startswith('sapiens.') and isinstance(error, kinds)
