"""Functions on several processes of one group. Not collected."""

import multiprocessing
import os
import pickle
import shutil
import tempfile
import traceback
from pathlib import Path

import torch


def on_ranks(count, function, folder, *args, killed=()):
    """Run ``function(*args)`` in forked processes of one gloo group; returns what it returns on each rank.

    A failure on any rank raises its traceback. Ranks of ``killed`` die, and return None.
    """
    folder = Path(tempfile.mkdtemp(dir=folder, prefix='.ranks'))
    fork = multiprocessing.get_context('fork')
    processes = [fork.Process(target=_run, args=(rank, count, function, folder, args)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
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


def _run(rank, count, function, folder, args):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank))
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/group', rank=rank, world_size=count)
    try:
        result = True, function(*args)
    except BaseException:
        result = False, f'rank {rank}: {traceback.format_exc()}'
    (folder / f'rank{rank}.tmp').write_bytes(pickle.dumps(result))
    (folder / f'rank{rank}.tmp').rename(folder / f'rank{rank}.pkl')
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    os._exit(0)
