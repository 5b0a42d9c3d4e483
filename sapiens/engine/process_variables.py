"""torch's variables of a process (``RANK``, ``WORLD_SIZE`` and others) from those of Slurm, MPI and Kubernetes."""

import os
import re
import subprocess
from collections.abc import MutableMapping

__all__ = ['set_process_variables']

# Of MPI: Open MPI, and Hydra (MPICH, Intel MPI).
MPI = (
    dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
        LOCAL_WORLD_SIZE='OMPI_COMM_WORLD_LOCAL_SIZE',
    ),
    dict(RANK='PMI_RANK', WORLD_SIZE='PMI_SIZE', LOCAL_RANK='MPI_LOCALRANKID', LOCAL_WORLD_SIZE='MPI_LOCALNRANKS'),
)
SLURM = dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID')


def set_process_variables(
    launcher: str, environ: MutableMapping[str, str] = os.environ, visible_gpus: int = 0
) -> None:
    """Set the variables with which torch's processes meet, and ``LOCAL_WORLD_SIZE``, the number of processes on this node.

    Args:
        launcher: ``'pytorch'``: torchrun has set them; pods of Kubernetes' PyTorchJob, which are one process each, have no
            ``LOCAL_RANK``. ``'slurm'``: tasks of srun. ``'mpi'``: of mpirun (Open MPI, MPICH, Intel MPI). The latter two take
            ``MASTER_ADDR`` and ``MASTER_PORT`` where they are set.
        environ: variables of the process.
        visible_gpus: number of GPUs that the process sees. A task whose scheduler shows it one (``srun --gpus-per-task=1``) uses
            that one, whose number is 0.

    Raises:
        ValueError: the launcher did not start this process, or the first machine is not known.
    """
    if launcher == 'slurm':
        _set_slurm(environ)
    elif launcher == 'mpi':
        _set_mpi(environ)
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher}: {", ".join(missing)} not set. torchrun and tools/dist_train.sh set them, and '
            "Kubernetes' PyTorchJob in its pods"
        )
    if 'LOCAL_RANK' not in environ:
        environ.update(LOCAL_RANK='0', LOCAL_WORLD_SIZE='1')
    if launcher != 'pytorch' and visible_gpus == 1:
        environ['LOCAL_RANK'] = '0'


def _copy(environ: MutableMapping[str, str], names: dict[str, str], launcher: str, start: str) -> None:
    if missing := [name for name in names.values() if name not in environ]:
        raise ValueError(f'--launcher {launcher}: {", ".join(missing)} not set, so {start} did not start this process')
    for name, theirs in names.items():
        environ[name] = environ[theirs]


def _set_slurm(environ: MutableMapping[str, str]) -> None:
    _copy(environ, SLURM, 'slurm', 'srun')
    if 'MASTER_ADDR' not in environ:
        nodes = environ.get('SLURM_STEP_NODELIST') or environ.get('SLURM_JOB_NODELIST', '')
        try:
            command = ['scontrol', 'show', 'hostnames', nodes]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        except (OSError, subprocess.CalledProcessError) as error:
            raise ValueError(
                f'--launcher slurm: scontrol does not tell the first of the nodes {nodes!r} ({error}): set MASTER_ADDR to it'
            ) from error
        environ['MASTER_ADDR'] = shown[0]
    # The same for all tasks, and another one for the next job on the node. Below the ports that systems give out.
    environ.setdefault('MASTER_PORT', str(10000 + int(environ.get('SLURM_JOB_ID', 0)) % 20000))
    counts = _tasks_per_node(environ.get('SLURM_STEP_TASKS_PER_NODE') or environ.get('SLURM_NTASKS_PER_NODE', ''))
    if counts:
        node = int(environ.get('SLURM_NODEID', 0))
        environ['LOCAL_WORLD_SIZE'] = str(counts[min(node, len(counts) - 1)])


def _tasks_per_node(text: str) -> list[int]:
    """Expand Slurm's numbers of tasks: ``8(x2),4`` are 8, 8 and 4."""
    found = re.findall(r'(\d+)(?:\(x(\d+)\))?', text)
    return [int(count) for count, times in found for _ in range(int(times or 1))]


def _set_mpi(environ: MutableMapping[str, str]) -> None:
    names = next((names for names in MPI if names['RANK'] in environ), MPI[0])
    _copy(environ, names, 'mpi', 'mpirun (Open MPI, MPICH, Intel MPI)')
    if 'MASTER_ADDR' not in environ:
        if environ['LOCAL_WORLD_SIZE'] != environ['WORLD_SIZE']:
            raise ValueError(
                '--launcher mpi: MPI does not tell the first of several machines. Hand it on: mpirun -x MASTER_ADDR=host (Open '
                'MPI) or mpirun -genv MASTER_ADDR host (MPICH, Intel MPI)'
            )
        environ['MASTER_ADDR'] = '127.0.0.1'
    environ.setdefault('MASTER_PORT', '29500')
