"""torchrun for trainings: ``python -m sapiens.utils.torchrun ARGUMENTS_OF_TORCHRUN``, which tools/dist_train.sh starts.

Differences from torchrun:

* Several machines meet by the variables that scripts usually take (:func:`meeting`).
* A run that fails is started again up to ``--max-restarts`` times and resumes. It is not started again after two failures without
  a new checkpoint in between, when it was stopped by a signal, or when it refuses its input.
* It ends with the first error, and with the exit status of the training: torchrun ends with 1 and a table whatever happened.
* A machine that the network has cut off joins again when it is back, and does not end the run of the others.
* Stop signals go to every process, which may take ``SHUTDOWN_TIMEOUT`` seconds (900) to write its checkpoint.
"""

import argparse
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from torch.distributed import DistNetworkError
from torch.distributed.elastic.agent.server import WorkerGroup, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError, RendezvousError
from torch.distributed.launcher import api
from torch.distributed.run import determine_local_world_size, get_args_parser, run

from .first_error import Failure, first_failure, read_failure
from .launcher_watch import stop_with_launcher
from .own_address import has_known_name, limit_silence, own_address, own_interface
from .restarts import RUN_FILE, RunFile
from .stop_signals import STOP_SIGNALS

__all__ = ['main']

JOINING_SECONDS = 600
"""For which a machine tries to join again when the first one does not answer. For as long the first one waits for others."""

KILL_SECONDS = 30
"""After which torch kills the processes that a failed one has left behind, and that do not end by SIGTERM."""

SILENCE_SECONDS = 60
"""Without an answer, after which a machine counts the first one as lost."""


class Agent(LocalElasticAgent):
    """torchrun's agent, which starts processes again only where that may help.

    Attributes:
        first, latest: the first and the latest failure, or None.
        reason: why the run is not started again, or ''.
        has_started: whether processes were started in this try to join.
        has_met: whether they were started in any.
    """

    # The launcher builds the agent and hands it to nobody.
    first: Failure | None = None
    latest: Failure | None = None
    reason = ''
    has_started = has_met = False

    def run(self, *args, **kwargs):
        try:
            return super().run(*args, **kwargs)
        except RendezvousConnectionError:
            # torch closes the meeting here. Once the network is back, that ends the run on all machines.
            handler = self._worker_group.spec.rdzv_handler
            handler.shutdown = handler._stop_heartbeats
            raise

    def _initialize_workers(self, worker_group: WorkerGroup) -> None:
        limit_silence(SILENCE_SECONDS)
        super()._initialize_workers(worker_group)
        Agent.has_started = Agent.has_met = True

    def _monitor_workers(self, worker_group: WorkerGroup):
        result = super()._monitor_workers(worker_group)
        if result.state in (WorkerState.FAILED, WorkerState.UNHEALTHY) and not self._helps(result.failures):
            self._remaining_restarts = 0  # as torch's agent does for processes that cannot be ended
        return result

    def _helps(self, failures: dict[int, ProcessFailure]) -> bool:
        """Whether another start may help after these failures; note and tell them."""
        if not failures:
            return True
        failure, most = _first(failures), self._worker_group.spec.max_restarts
        Agent.first, Agent.latest = Agent.first or failure, failure
        if failure.kind != 'failed' or not most:
            return False
        run = RunFile(os.environ[RUN_FILE])
        Agent.reason = run.add_failure(str(failure), most)
        if not Agent.reason:
            text = f'restart {len(run.ends)} of {most}, checkpoint: {run.checkpoint_name}'
            print(f'{failure}; {text}', file=sys.stderr, flush=True)
        return not Agent.reason


def meeting(environ: Mapping[str, str]) -> dict:
    """Read from variables where the machines of a run meet; returns arguments of torchrun that are not given by its own (PET_*).

    ``NNODES`` is a number, or ``2:4`` for any number from 2 to 4 (default 1). The first machine is ``RDZV_ENDPOINT=host:port``
    or ``MASTER_ADDR`` with ``MASTER_PORT`` or ``PORT`` (29500). ``NODE_RANK`` is optional: 0 names the first machine where its
    address is not that of its own interfaces. The others reach each machine by its :func:`own_address`. Kubernetes' PyTorchJob
    sets ``WORLD_SIZE`` and ``RANK``, which count pods, in place of ``NNODES`` and ``NODE_RANK``. One machine takes a free port,
    so that several runs fit on it.

    Raises:
        ValueError: several machines and no address, or a wrong value, with the name of its variable.
    """
    address = environ.get('MASTER_ADDR')
    port = _first_of(environ, 'MASTER_PORT', 'PORT', most=65535)
    pods = environ if address and 'LOCAL_RANK' not in environ else {}
    nodes = environ.get('NNODES') or pods.get('WORLD_SIZE') or '1'
    least, _, most = nodes.partition(':')
    if not (_is_whole(least, 1) and _is_whole(most or least, int(least))) or nodes.endswith(':'):
        name = 'NNODES' if environ.get('NNODES') else 'WORLD_SIZE'
        raise ValueError(
            f'{name}={nodes}: expected a number of machines, such as 4, or 2:4 for any number from 2 to 4'
        )
    node = _first_of(environ, 'NODE_RANK') or _first_of(pods, 'RANK')
    endpoint = environ.get('RDZV_ENDPOINT') or (f'{address}:{port or 29500}' if address else '')
    host, _, number = endpoint.rpartition(':')
    if endpoint and not (host and _is_whole(number, 0, 65535)):
        raise ValueError(f'RDZV_ENDPOINT={endpoint}: expected host:port, such as node1:29500')
    found = dict(rdzv_backend='c10d', nnodes=nodes)
    if nodes in ('1', '1:1'):
        # A name that other machines know is not always one that this machine knows.
        found.update(rdzv_endpoint=f'localhost:{port or 0}', rdzv_id=str(uuid.uuid4()), local_addr='127.0.0.1')
    elif endpoint:
        found.update(rdzv_endpoint=endpoint, rdzv_id=environ.get('RDZV_ID') or 'sapiens')
        own = own_address(endpoint)
        if own is not None:
            found['local_addr'] = own
        if node is None and own_interface(endpoint) and not has_known_name():
            node = '0' if own == endpoint.rpartition(':')[0].strip('[]') else '1'  # torch would compare names
        if node is not None:
            found['rdzv_conf'] = f'is_host={int(node == "0")}'
    elif 'PET_RDZV_ENDPOINT' not in environ:
        raise ValueError(
            f'NNODES={nodes}: set MASTER_ADDR to the name or address of the first machine, the same on each (MASTER_PORT: 29500)'
        )
    return {name: value for name, value in found.items() if f'PET_{name.upper()}' not in environ}


def shutdown_seconds(environ: Mapping[str, str]) -> int:
    """Seconds that a stop signal leaves for the checkpoint. Raises ValueError for another text than a whole number."""
    text = environ.get('SHUTDOWN_TIMEOUT') or '900'
    if not _is_whole(text):
        raise ValueError(f'SHUTDOWN_TIMEOUT={text}: expected whole seconds')
    return int(text)


def _is_whole(text: str, least: int = 0, most: int = 10**9) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most


def _first_of(environ: Mapping[str, str], *names: str, most: int = 10**9) -> str | None:
    """The first variable that is set, a whole number."""
    name = next((name for name in names if environ.get(name)), None)
    if name and not _is_whole(environ[name], most=most):
        raise ValueError(f'{name}={environ[name]}: expected a whole number from 0 to {most}')
    return environ[name] if name else None


def _parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace:
    """Parse torchrun's arguments. Raises ValueError for those that torchrun would end in a traceback for."""

    def refuse(message):
        raise ValueError(message)

    _first_of(os.environ, 'MAX_RESTARTS')  # which the scripts hand on
    parser.error = refuse
    args = parser.parse_args(argv)
    if args.max_restarts < 0:
        raise ValueError(f'--max_restarts={args.max_restarts}: expected a whole number of 0 or more')
    try:
        count = determine_local_world_size(args.nproc_per_node)
    except ValueError:
        count = 0
    if count < 1:
        raise ValueError(f'GPUS={args.nproc_per_node}: expected the number of GPUs of this machine, 1 or more')
    return args


def main(argv: list[str] | None = None) -> NoReturn:
    """Run torchrun and exit: with the status of the process that failed first, or 128 + the number of a signal."""
    stop_with_launcher()  # of a runner of studies; torchrun then stops its processes
    if 'LOGLEVEL' not in os.environ:
        logging.disable(logging.ERROR)  # torchrun's reports of what the processes say themselves
    parser = get_args_parser()
    try:
        parser.set_defaults(
            **meeting(os.environ),
            signals_to_handle=','.join(['SIGHUP', 'SIGQUIT', *(number.name for number in STOP_SIGNALS)]),
            shutdown_timeout=shutdown_seconds(os.environ),
        )
        args = _parse(parser, argv)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    endpoint = parser.get_default('rdzv_endpoint')
    if not has_known_name() and (interface := own_interface(endpoint)):
        os.environ.setdefault('GLOO_SOCKET_IFNAME', interface)  # gloo would take the loopback
    api.LocalElasticAgent = Agent
    Agent.first, Agent.latest, Agent.reason, Agent.has_met = None, None, '', False
    # The store of an agent keeps the addresses of processes that have ended, which those of the next start would try to reach.
    os.environ.setdefault('TORCH_DISABLE_SHARE_RDZV_TCP_STORE', '1')
    folder = tempfile.mkdtemp(prefix='sapiens_run_')
    if 'PET_LOG_DIR' not in os.environ and not args.log_dir:
        args.log_dir = folder  # processes leave their errors there; torchrun's own folder would stay
    os.environ[RUN_FILE] = str(Path(folder, 'run.json'))
    try:
        launch(args)
    except ChildFailedError as error:
        sys.exit(report(error.failures))
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except DistNetworkError as error:
        text = str(error).splitlines()[0]
        print(f'error: the processes cannot meet: {text} Choose another port (PORT=29501 ...)', file=sys.stderr)
        sys.exit(2)
    except RendezvousError as error:
        sys.exit(report_meeting(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0)


def launch(args: argparse.Namespace) -> None:
    """Run torchrun, and again where the connection to the first machine was lost: it may come back."""
    lost = None
    while True:
        Agent.has_started = False
        try:
            run(args)
            return
        except RendezvousConnectionError as error:
            lost = time.monotonic() if Agent.has_started else lost
            may_return = is_silence(error) or not refuses(args.rdzv_endpoint)
            if lost is None or not may_return or time.monotonic() > lost + JOINING_SECONDS:
                raise
            text = f'The connection to {args.rdzv_endpoint} was lost. This machine joins again, within '
            print(f'{text}{JOINING_SECONDS / 60:.0f} minutes', file=sys.stderr, flush=True)


def is_silence(error: RendezvousConnectionError) -> bool:
    """Whether the connection was lost since the first machine did not answer. A later call finds it closed and cannot tell."""
    return re.search('time(d )?out', str(error.__cause__ or error)) is not None


def refuses(endpoint: str) -> bool:
    """Whether the first machine answers, and torchrun has ended there."""
    name, _, port = endpoint.rpartition(':')
    try:
        with socket.create_connection((name.strip('[]'), int(port)), timeout=5):
            return False
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False


def report(failures: dict[int, ProcessFailure]) -> int:
    """Print why the run has ended, the first error first; returns the exit status."""
    latest = Agent.latest or _first(failures)
    first = Agent.first or latest
    status = latest.status if latest.status >= 0 else 128 - latest.status
    if first is latest and first.kind != 'failed':
        if first.kind == 'refused' and first.message:
            print(first.message, file=sys.stderr)  # which no process has printed
        return status  # a stopped process has said itself why it ends
    print(f'error: {first}', file=sys.stderr)
    if first is not latest:
        why = f': {Agent.reason}' if Agent.reason else ''
        print(f'{first.trace}The run was started again, and has ended{why}.\nLast: {latest}', file=sys.stderr)
    elif first.trace:
        print(first.trace, end='', file=sys.stderr)
    return status


def report_meeting(error: RendezvousError) -> int:
    """Print why the machines do not meet, or no longer do; returns the exit status."""
    if Agent.has_met:
        first = f'{Agent.first}\n{Agent.first.trace}' if Agent.first else ''
        print(f'error: {first}Another machine has ended the run, or is lost: see its log', file=sys.stderr)
        return 1
    cause = error.__cause__ or error
    text = next(iter(str(cause).splitlines()), '') or type(cause).__name__
    print(
        f'error: the machines cannot meet: {text} All of them need the same MASTER_ADDR, MASTER_PORT and NNODES, and must reach '
        'that address',
        file=sys.stderr,
    )
    return 2


def _first(failures: dict[int, ProcessFailure]) -> Failure:
    ended = min(failure.timestamp for failure in failures.values())
    found = []
    for rank, failure in failures.items():
        found.append(read_failure(failure.error_file, rank, failure.exitcode, failure.timestamp))
        found[-1].hung = failure.exitcode == -signal.SIGKILL and failure.timestamp >= ended + KILL_SECONDS - 1
    return first_failure(found)


if __name__ == '__main__':
    main()
