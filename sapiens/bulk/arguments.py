"""Arguments of commands whose work is run by an engine."""

import argparse
import os

from .engine import Engine
from .local import LocalEngine
from .ray_engine import RayEngine

__all__ = ['add_engine_arguments', 'build_engine', 'check_engine']


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--engine``, ``--workers``, ``--address``, ``--devices``."""
    from sapiens.utils.cli import zero_or_more  # imports torch, which processes of workers may do without

    group = parser.add_argument_group('where it runs')
    text = 'local: processes of this machine; ray: actors of Ray, also on many machines (docs/distributed.md); default: local'
    group.add_argument('--engine', choices=['local', 'ray'], default='local', help=text)
    text = (
        'processes or actors; 0 runs in this process, for a debugger; default: the CPUs of this machine, or what the cluster has '
        'room for'
    )
    group.add_argument('--workers', type=zero_or_more, metavar='NUMBER', help=text)
    text = 'of a running Ray cluster, with --engine ray: auto, or ray://HOST:10001; default: start Ray on this machine'
    group.add_argument('--address', help=text)
    text = 'GPUs that processes share out, with --engine local: 0 1; default: each process sees all'
    group.add_argument('--devices', nargs='+', metavar='GPU', help=text)


def check_engine(args: argparse.Namespace) -> None:
    """Raise ValueError for parsed arguments that belong to the other engine, before Ray is started.

    Args:
        args: with ``engine``, ``address`` and ``devices``, a list or a text with commas; ``workers`` where the command has it.
    """
    if args.engine == 'ray' and args.devices:
        devices = args.devices if isinstance(args.devices, str) else ' '.join(args.devices)
        raise ValueError(f'--devices {devices}: Ray gives out the GPUs itself; leave it out')
    if args.engine == 'ray' and getattr(args, 'workers', None) == 0:
        raise ValueError('--workers 0 runs in this process, which is --engine local')
    if args.engine != 'ray' and args.address is not None:
        raise ValueError(f'--address {args.address} is that of a Ray cluster: add --engine ray')


def build_engine(args: argparse.Namespace) -> Engine:
    """Build the engine of parsed arguments.

    Raises:
        ValueError: options of the other engine, or no cluster at the address.
        ImportError: Ray is not installed.
        OSError: Ray does not start.
    """
    check_engine(args)
    if args.engine == 'ray':
        return RayEngine(args.address, args.workers)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return LocalEngine(workers if args.workers is None else args.workers, args.devices or ())
