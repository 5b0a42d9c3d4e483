"""Faults of runs on several hosts: each run ends with the weights of an undisturbed one, or says why it cannot go on."""

import functools
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.datasets.shard_index import scan_shard, write_index
from sapiens.utils.checkpoint import read_checkpoint

from .hosts import Hosts, why_not
from .test_slurm import CONFIG, OPTIONS, ROOT

STEPS, SAVED = 60, 5
STEP_TIMEOUT = 10
STORE_TIMEOUT = 60  # seconds of torchrun's connection
# Seconds within which a run must have come to a step or ended: several times what it takes.
LIMIT = 600
SAME = [f'train_cfg.max_iters={STEPS}', f'default_hooks.checkpoint.interval={SAVED}', 'env_cfg.dist_cfg.timeout=120']
SAME += [f'env_cfg.dist_cfg.step_timeout={STEP_TIMEOUT}']
TEXT = """
_base_ = {base!r}
custom_imports = dict(imports=['sapiens.engine', 'tests.integration.fault_hooks'], allow_failed_imports=False)
"""
SHARDS = """
_base_ = {base!r}
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ResumableSampler', shuffle=True),
    dataset=dict(_delete_=True, type='TarShards', shards={index!r}, pipeline=_base_.train_pipeline),
)
"""


@functools.lru_cache
def reason() -> str:
    return why_not() if sys.platform == 'linux' else 'namespaces are those of Linux'


@pytest.fixture(autouse=True)
def need_namespaces():
    if reason():
        pytest.skip(reason())


pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * LIMIT)]


class Run:
    """A training in a work dir: two processes on each of two hosts, or one process on this machine.

    Args:
        folder: has the images and the config.
        name: of the work dir.
        options: for ``--cfg-options``.
        pace: seconds of a step.
        hooks: further hooks.
        config: in the folder.
        nodes: ``NNODES``.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *options: str,
        pace: float = 0.15,
        hooks: tuple[str, ...] = (),
        config: str = 'config.py',
        nodes: str = '2',
    ) -> None:
        self.config, self.nodes = folder / config, nodes
        self.folder = folder
        self.work_dir = self.seen = folder / name  # of the hosts, and as this process sees it
        hooks = [f"dict(type='PaceHook', seconds={pace})" if pace else None, *hooks]
        hooks = f'custom_hooks=[{", ".join(filter(None, hooks))}]'
        self.options = ['--work-dir', self.work_dir, *OPTIONS, *SAME, hooks, *options]
        path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
        self.variables = dict(
            PATH=path, PYTHONPATH=str(ROOT), DATA_ROOT=str(folder / 'images'), OMP_NUM_THREADS='1'
        )  # fmt: skip

    def log_of(self, host: int) -> Path:
        return self.folder / f'{self.work_dir.name}_{host}.log'

    def text(self, host: int) -> str:
        return self.log_of(host).read_text(errors='replace') if self.log_of(host).exists() else ''

    def start(self, hosts: Hosts, host: int, *arguments: str, first: int = 0) -> subprocess.Popen:
        """Start the processes of a host.

        Args:
            hosts: which has it.
            host: number.
            arguments: further ones for tools/train.py.
            first: the first machine of the run.
        """
        command = ['bash', 'tools/dist_train.sh', self.config, 2, *arguments, *self.options]
        meeting = dict(
            NNODES=self.nodes, RDZV_ENDPOINT=f'{hosts.address(first)}:29500', NODE_RANK='0' if host == first else '1'
        )
        variables = dict(self.variables, **meeting)
        with open(self.log_of(host), 'a') as log:
            return hosts.start(host, command, log, ROOT, variables)

    def start_both(self, hosts: Hosts, *arguments: str) -> list[subprocess.Popen]:
        return [self.start(hosts, host, *arguments) for host in (0, 1)]

    def run_alone(self, *options: str) -> None:
        command = [sys.executable, 'tools/train.py', self.config, *self.options, *options]
        with open(self.log_of(0), 'w') as log:
            subprocess.run(
                command,
                check=True,
                cwd=ROOT,
                env=dict(os.environ, **self.variables),
                stdout=log,
                stderr=log,
                timeout=LIMIT,
            )

    def wait_for(self, done: Callable[[], object], what: str, *running: subprocess.Popen) -> None:
        """Wait until something is true, while these processes run."""
        end = time.monotonic() + LIMIT
        while not done():
            problem = f'no {what} in {LIMIT} s' if time.monotonic() > end else ''
            problem = problem or ('the run has ended' if any(one.poll() is not None for one in running) else '')
            assert not problem, f'{problem} before {what}\n{self.text(0)[-6000:]}\n-----\n{self.text(1)[-6000:]}'
            time.sleep(0.05)

    def wait_for_step(self, step: int, *running: subprocess.Popen) -> None:
        self.wait_for(lambda: self.step >= step, f'step {step}', *running)

    def wait_for_checkpoint(self, step: int, *running: subprocess.Popen) -> None:
        self.wait_for(lambda: (self.seen / f'iter_{step}').exists(), f'checkpoint {step}', *running)

    def wait(self, *processes: subprocess.Popen) -> list[int]:
        """Wait for the end of processes; returns their statuses."""
        self.wait_for(lambda: all(one.poll() is not None for one in processes), 'end')
        return [one.returncode for one in processes]

    @property
    def step(self) -> int:
        """The latest step in the log."""
        found = re.findall(r' step +(\d+)/', self.text(0))
        return int(found[-1]) if found else 0

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights at the end."""
        paths = [self.seen / f'iter_{STEPS}{suffix}' for suffix in ('', '.pth')]
        return read_checkpoint(next(path for path in paths if path.exists())).state_dict

    def report(self) -> str:
        return f'{self.text(0)[-6000:]}\n-----\n{self.text(1)[-6000:]}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Images and the config."""
    folder = tmp_path_factory.mktemp('faults')
    (folder / 'images').mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'images/{index}.png')
    (folder / 'config.py').write_text(TEXT.format(base=str(ROOT / CONFIG)))
    return folder


@pytest.fixture(scope='module')
def undisturbed(folder):
    """Weights of one process with the batch of four."""
    run = Run(folder, 'undisturbed', 'train_dataloader.batch_size=8', pace=0)
    run.run_alone()
    return run.weights


def require_equal(run: Run, undisturbed: dict[str, torch.Tensor]) -> None:
    """Require the weights of an undisturbed run of one process, up to rounding.

    The bias of keys is left out: attention does not depend on it, so its gradient is rounding, which Adam scales up.
    """
    found = run.weights
    assert found.keys() == undisturbed.keys()
    for name, value in undisturbed.items():
        pair = found[name], value
        if name.endswith('qkv.bias'):
            pair = [torch.cat([part for index, part in enumerate(one.chunk(3)) if index != 1]) for one in pair]
        torch.testing.assert_close(*pair, rtol=0, atol=1e-6, msg=lambda text, name=name: f'{name}: {text}')


def test_a_killed_process(folder, undisturbed):
    draw = random.Random(7)
    step, rank = draw.randrange(SAVED + 1, STEPS - 10), draw.randrange(4)
    run = Run(folder, 'killed')
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        run.wait_for_step(step, *both)
        (process,) = hosts.processes(rank // 2, RANK=str(rank), LOCAL_WORLD_SIZE='2')
        process.kill()
        assert run.wait(*both) == [0, 0], run.report()
    text = run.text(rank // 2)
    assert f'rank {rank} was ended by SIGKILL' in text and 'restart 1 of 3, checkpoint: iter_' in text, run.report()
    assert 'which the run continues' in run.text(0), run.report()
    require_equal(run, undisturbed)


@pytest.mark.parametrize('seconds', [0, STORE_TIMEOUT + 10])
def test_a_host_that_is_cut_off_and_returns(seconds, folder, undisturbed):
    """It returns before its launcher has noticed, or after it."""
    run = Run(folder, f'cut-{seconds}')
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        run.wait_for_step(22, *both)
        hosts.cut(1)
        run.wait_for(lambda: 'restart 1 of 3, checkpoint: iter_20' in run.text(0), 'restart of host 0', *both)
        assert {file.name for file in (run.work_dir / 'flight_recorder').glob('rank_*')} == {
            f'rank_{rank}.json' for rank in range(4)
        }
        time.sleep(seconds)
        hosts.connect(1)
        assert run.wait(*both) == [0, 0], run.report()
    assert (f'The connection to {hosts.address(0)}:29500 was lost' in run.text(1)) == bool(seconds), run.report()
    assert 'iter_20, which the run continues from' in run.text(0), run.report()
    require_equal(run, undisturbed)


def test_a_host_that_is_cut_off_in_a_save(folder, undisturbed):
    """The save of the others, whose timeout is long, does not hold the restart."""
    marker = folder / 'cut-in-save-marker'
    hook = f"dict(type='DieInSaveHook', name='iter_20', rank=3, marker={str(marker)!r}, waits=True)"
    run = Run(folder, 'cut-in-save', 'env_cfg.dist_cfg.timeout=1800', hooks=(hook,))
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        run.wait_for(marker.exists, 'save of step 20', *both)
        hosts.cut(1)
        run.wait_for(lambda: 'restart 1 of 3, checkpoint: iter_15' in run.text(0), 'restart of host 0', *both)
        hosts.connect(1)
        assert run.wait(*both) == [0, 0], run.report()
    assert 'iter_15, which the run continues from' in run.text(0), run.report()
    require_equal(run, undisturbed)


def test_the_first_host_is_lost(folder, undisturbed):
    """The machines meet on the first one: another one takes its place when the run is started again by hand."""
    run = Run(folder, 'lost')
    with Hosts(3) as hosts:
        both = run.start_both(hosts)
        run.wait_for_step(22, *both)
        hosts.power_off(0)
        run.wait_for(lambda: not hosts.processes(1, LOCAL_WORLD_SIZE='2'), 'end of the processes of host 1', both[1])
        stop(hosts, 1)
        assert run.wait(both[1]) == [143], run.report()
        again = [run.start(hosts, host, '--resume', first=1) for host in (1, 2)]
        assert run.wait(*again) == [0, 0], run.report()
    assert 'iter_20, which the run continues from' in run.text(1), run.report()
    require_equal(run, undisturbed)


def test_one_of_one_to_two_hosts_is_lost(folder, undisturbed):
    """The other one goes on with the batch of both."""
    run = Run(folder, 'fewer', '+train_dataloader.total_batch_size=8', nodes='1:2')
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        run.wait_for(lambda: '8 images = 2 per process x 4 processes' in run.text(0), 'start of both hosts', *both)
        run.wait_for_step(22, *both)
        hosts.power_off(1)
        assert run.wait(both[0]) == [0], run.report()
    assert '8 images = 4 per process x 2 processes' in run.text(0), run.report()
    require_equal(run, undisturbed)


def stop(hosts: Hosts, host: int) -> None:
    """Send SIGTERM to the launcher of a host."""
    (launcher,) = [one for one in hosts.processes(host) if 'sapiens.utils.torchrun' in one.cmdline()]
    launcher.terminate()


def test_the_first_host_is_restarted(folder, undisturbed):
    """The same command on it is enough: the other one joins again."""
    run = Run(folder, 'restarted')
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        run.wait_for_step(22, *both)
        hosts.power_off(0)
        run.wait_for(lambda: not hosts.processes(1, LOCAL_WORLD_SIZE='2'), 'end of the processes of host 1', both[1])
        hosts.boot(0)
        both[0] = run.start(hosts, 0)
        assert run.wait(*both) == [0, 0], run.report()
    assert f'The connection to {hosts.address(0)}:29500 was lost' in run.text(1), run.report()
    assert 'iter_20, which the run continues from' in run.text(0), run.report()
    require_equal(run, undisturbed)


def test_a_half_written_checkpoint(folder, undisturbed):
    marker = folder / 'half-marker'
    run = Run(folder, 'half', hooks=(f"dict(type='DieInSaveHook', name='iter_20', rank=3, marker={str(marker)!r})",))
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        run.wait_for(marker.exists, 'save of step 20', *both)
        assert run.wait(*both) == [0, 0], run.report()
    assert 'restart 1 of 3, checkpoint: iter_15' in run.text(1), run.report()
    assert 'iter_15, which the run continues from' in run.text(0), run.report()
    assert not list(run.work_dir.glob('.iter_*')), 'what was half written is removed'
    require_equal(run, undisturbed)


def test_a_full_disk(folder, undisturbed):
    disk = folder / 'disk'
    disk.mkdir()
    run = Run(folder, 'disk/full')
    with Hosts(2, disk, 64 << 20) as hosts:
        run.seen = hosts.disk() / 'full'
        both = run.start_both(hosts)
        run.wait_for_step(22, *both)
        with pytest.raises(OSError, match='No space left'), open(hosts.disk() / 'other', 'wb', buffering=0) as other:
            while other.write(bytes(1 << 12)):
                pass
        assert run.wait(*both) == [1, 1], run.report()
        assert run.text(0).count('Cannot write the checkpoint') == 1, run.report()
        assert 'The disk (or the quota) is full: free some space' in run.text(0), run.report()
        assert 'Another machine has ended the run' in run.text(1), run.report()
        assert (run.seen / 'iter_20').exists()
        (hosts.disk() / 'other').unlink()
        both = run.start_both(hosts, '--resume')
        assert run.wait(*both) == [0, 0], run.report()
        assert 'iter_20, which the run continues from' in run.text(0), run.report()
        require_equal(run, undisturbed)


@pytest.fixture(scope='module')
def shards(folder):
    """The name of a config whose data are four shards of eight images, and the one of them that is gone."""
    (folder / 'shards').mkdir()
    paths = [folder / f'shards/{shard}.tar' for shard in range(4)]
    for path in paths:
        with tarfile.open(path, 'w') as tar:
            for image in range(8):
                tar.add(folder / f'images/{image}.png', f'{path.stem}-{image}.png')
    index = str(folder / 'shards/index.safetensors')
    write_index(index, list(map(str, paths)), [scan_shard(str(path)) for path in paths])
    paths[2].unlink()
    (folder / 'shards.py').write_text(SHARDS.format(base=str(folder / 'config.py'), index=index))
    return 'shards.py', paths[2]


@pytest.mark.parametrize(('share', 'status'), [(1, 0), (0.01, 1)])
def test_a_shard_is_gone(share, status, folder, shards):
    """Its samples are counted and named; there is an end above the allowed fraction."""
    config, gone = shards
    run = Run(folder, f'shard-{status}', f'default_hooks.bad_data.max_share={share}', pace=0, config=config)
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        assert run.wait(*both) == [status, status], run.report()
    rows = [line.split('\t') for line in (run.work_dir / 'bad_files.txt').read_text().splitlines()]
    assert rows and all(row == [str(gone), 'the shard is missing'] for row in rows), rows
    text = run.text(0)
    assert f'skipped: {gone}: the shard is missing' in text, run.report()
    if status:
        assert 'files could not be used, more than the allowed fraction of 0.01' in text, run.report()
    else:
        assert run.weights


def test_a_slow_process(folder, undisturbed):
    run = Run(
        folder, 'slow', "+default_hooks.mfu=dict(type='MFUHook')", pace=0,
        hooks=("dict(type='PaceHook', seconds=0.03, slow_rank=2)",),
    )  # fmt: skip
    with Hosts(2) as hosts:
        both = run.start_both(hosts)
        assert run.wait(*both) == [0, 0], run.report()
    (scalars,) = run.work_dir.glob('*/vis_data/2*.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    slowest = [row['slowest_rank'] for row in rows if 'slowest_rank' in row]
    assert set(slowest[10:]) == {2}, slowest  # one step of ten is profiled; the first one is not like others
    require_equal(run, undisturbed)
