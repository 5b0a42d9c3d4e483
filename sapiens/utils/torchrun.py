"""torchrun with the exit status of the training: ``python -m sapiens.utils.torchrun ARGUMENTS_OF_TORCHRUN``.

torchrun ends with status 1 and a table whatever happened, so that a job script cannot tell a stopped run from a failed one.
Stop signals go to every process, which may take ``SHUTDOWN_TIMEOUT`` seconds (900) to write its checkpoint.
"""

import logging
import os
import signal
import sys
from typing import NoReturn

from torch.distributed import DistNetworkError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import get_args_parser, run

__all__ = ['main']

# Statuses of processes that have said why they end: a user error, and a stop.
EXPLAINED = {2, *(128 + number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1))}


def main(argv: list[str] | None = None) -> NoReturn:
    """Run torchrun and exit: with the status of the process that failed first, or 128 + the number of a signal."""
    if 'LOGLEVEL' not in os.environ:
        logging.disable(logging.ERROR)  # torchrun's reports of what the processes say themselves
    parser = get_args_parser()
    parser.set_defaults(
        signals_to_handle='SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1',
        shutdown_timeout=int(os.environ.get('SHUTDOWN_TIMEOUT', 900)),
    )
    try:
        run(parser.parse_args(argv))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode
        if status not in EXPLAINED:
            print(f'error: {describe(rank, failure)}', file=sys.stderr)
        sys.exit(status)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except DistNetworkError as error:
        text = str(error).splitlines()[0]
        print(f'error: the processes cannot meet: {text} Choose another port (PORT=29501 ...)', file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def describe(rank: int, failure: ProcessFailure) -> str:
    """Say in a sentence how a process failed."""
    if failure.exitcode >= 0:
        return f'rank {rank} failed first, with status {failure.exitcode}: its message is above'
    name = signal.Signals(-failure.exitcode).name
    hint = ' (the system kills with it when the memory is full)' if name == 'SIGKILL' else ''
    return f'rank {rank} was ended by {name}{hint}'


if __name__ == '__main__':
    main()
