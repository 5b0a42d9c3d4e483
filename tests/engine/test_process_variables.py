import subprocess

import pytest

from sapiens.engine.process_variables import set_process_variables

HYDRA = dict(PMI_RANK='5', PMI_SIZE='8', MPI_LOCALRANKID='1', MPI_LOCALNRANKS='4')
OPEN_MPI = {
    f'OMPI_COMM_WORLD_{name}': value
    for name, value in dict(RANK='5', SIZE='8', LOCAL_RANK='1', LOCAL_SIZE='4').items()
}
TASK = dict(SLURM_PROCID='5', SLURM_NTASKS='12', SLURM_LOCALID='1', SLURM_NODEID='1', SLURM_JOB_ID='70123')


def variables(launcher, **given):
    set_process_variables(launcher, given)
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
    return [given.get(name) for name in names]


@pytest.mark.parametrize('theirs', [HYDRA, OPEN_MPI])
def test_mpi(theirs):
    assert variables('mpi', **theirs, MASTER_ADDR='a') == ['5', '8', '1', '4', 'a', '29500']
    one = {name: '4' if value == '8' else value for name, value in theirs.items()}
    assert variables('mpi', **one, MASTER_PORT='7') == ['5', '4', '1', '4', '127.0.0.1', '7'], 'one machine'
    with pytest.raises(ValueError, match='mpirun -x MASTER_ADDR=host'):
        variables('mpi', **theirs)
    with pytest.raises(ValueError, match='OMPI_COMM_WORLD_RANK, .* not set, so mpirun .* did not start this process'):
        variables('mpi')


def test_pods_of_kubernetes():
    pod = dict(RANK='5', WORLD_SIZE='8', MASTER_ADDR='job-master-0', MASTER_PORT='23456')
    assert variables('pytorch', **pod) == ['5', '8', '0', '1', 'job-master-0', '23456']
    assert variables('pytorch', **pod, LOCAL_RANK='1', LOCAL_WORLD_SIZE='4')[2:4] == ['1', '4'], 'of torchrun'
    with pytest.raises(ValueError, match='--launcher pytorch: WORLD_SIZE, MASTER_ADDR, MASTER_PORT not set'):
        variables('pytorch', RANK='1')


@pytest.mark.parametrize(('counts', 'local'), [('4(x3)', '4'), ('8,4', '4'), ('4(x2),8', '4'), ('6', '6'), ('', None)])
def test_slurm_tells_the_processes_of_a_node(counts, local):
    found = variables('slurm', **TASK, SLURM_STEP_TASKS_PER_NODE=counts, MASTER_ADDR='a')
    assert found == ['5', '12', '1', local, 'a', '20123']
    assert variables('slurm', **TASK, SLURM_NTASKS_PER_NODE='4', MASTER_ADDR='a')[3] == '4'


@pytest.mark.parametrize(('launcher', 'theirs'), [('slurm', TASK), ('mpi', OPEN_MPI)])
def test_a_task_that_sees_one_gpu_uses_it(launcher, theirs):
    for count, local in ((8, '1'), (1, '0')):
        environ = dict(theirs, MASTER_ADDR='a')
        set_process_variables(launcher, environ, count)
        assert (environ['LOCAL_RANK'], environ['RANK']) == (local, '5')


def test_jobs_of_a_node_have_ports_of_their_own():
    ports = {
        int(variables('slurm', **dict(TASK, SLURM_JOB_ID=str(70000 + job)), MASTER_ADDR='a')[5]) for job in range(999)
    }
    assert len(ports) == 999 and min(ports) >= 10000 and max(ports) < 30000
    assert variables('slurm', **TASK, MASTER_ADDR='a', MASTER_PORT='7')[5] == '7'


def test_the_first_node_of_slurm(monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout='node3\nnode4\n')

    monkeypatch.setattr(subprocess, 'run', run)
    nodes = dict(SLURM_JOB_NODELIST='node[1-4]', SLURM_STEP_NODELIST='node[3-4]')
    assert variables('slurm', **TASK, **nodes)[4] == 'node3'
    assert asked == [['scontrol', 'show', 'hostnames', 'node[3-4]']]


def test_a_process_that_srun_did_not_start(monkeypatch):
    with pytest.raises(ValueError, match='SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID not set, so srun did not start'):
        variables('slurm')
    monkeypatch.setenv('PATH', '')
    with pytest.raises(ValueError, match=r"first of the nodes 'n\[1-2\]'.*: set MASTER_ADDR"):
        variables('slurm', **TASK, SLURM_JOB_NODELIST='n[1-2]')
