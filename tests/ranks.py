"""Functions on several processes. Not collected."""

import multiprocessing
import os
import pickle
import shutil
import socket
import tempfile
import time
import traceback
from pathlib import Path

import torch
import torch._dynamo  # every optimizer imports it: once for all processes that are forked


def on_ranks(count, function, folder, *args, killed=(), seconds=60, joined=True):
    """Run ``function(*args)`` in forked processes of one gloo group; returns what it returns on each rank.

    A failure on any rank raises its traceback. Ranks of ``killed`` die, and return None. With ``joined=False`` the processes have
    the environment of torchrun, and the function makes the group.
    """
    folder = Path(tempfile.mkdtemp(dir=folder, prefix='.ranks'))
    fork = multiprocessing.get_context('fork')
    environment = dict(WORLD_SIZE=count, LOCAL_WORLD_SIZE=count, MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    given = (function, args, folder, joined, environment if count > 1 or joined else {})
    processes = [fork.Process(target=_run, args=(rank, *given)) for rank in range(count)]
    for process in processes:
        process.start()
    end = time.monotonic() + seconds
    while any(process.is_alive() for process in processes) and time.monotonic() < end:
        if any(process.exitcode for process in processes) and not killed:
            end = min(end, time.monotonic() + 5)  # the others wait for the rank that failed
        time.sleep(0.01)
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    files = [folder / f'rank{rank}.pkl' for rank in range(count)]
    results = [pickle.loads(file.read_bytes()) if file.exists() else (False, 'nothing returned') for file in files]
    results = [(True, None) if rank in killed else result for rank, result in enumerate(results)]
    failures = [value for done, value in results if not done]
    assert not failures and not alive, '\n'.join(map(str, failures)) or f'{len(alive)} ranks hang'
    shutil.rmtree(folder)
    return [value for _, value in results]


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def _run(rank, function, args, folder, joined, environment):
    torch.set_num_threads(1)
    if environment:
        environment = dict(environment, RANK=rank, LOCAL_RANK=rank)
    os.environ.update({name: str(value) for name, value in environment.items()})
    if joined:
        count, method = environment['WORLD_SIZE'], f'file://{folder}/group'
        torch.distributed.init_process_group('gloo', init_method=method, rank=rank, world_size=count)
    try:
        result = True, function(*args)
    except BaseException:
        result = False, f'rank {rank}: {traceback.format_exc()}'
    (folder / f'rank{rank}.tmp').write_bytes(pickle.dumps(result))
    (folder / f'rank{rank}.tmp').rename(folder / f'rank{rank}.pkl')
    if not result[0]:
        os._exit(1)  # without a barrier for which the others may never come
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    os._exit(0)  # taking apart all modules takes a second
