"""Jobs of ``sapiens submit`` through a fake Slurm (fake_slurm.py), with trainings on CPUs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).with_name('fake_slurm.py')
CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'
STEPS, SAVED = 16, 4
OPTIONS = [
    '--cfg-options',
    'model.backbone.arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64)',
    'model.decoder=dict(num_layers=1, embed_dims=16, num_heads=2)',
    'train_dataloader.dataset.pipeline.0.size=(64, 64)', 'model.backbone.img_size=(64, 64)',
    'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
    f'train_cfg.max_iters={STEPS}', 'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None',
    'custom_hooks=[]', f'default_hooks.checkpoint.interval={SAVED}',
    '+default_hooks.stop.seconds=0', 'default_hooks.logger.interval=1',
]  # fmt: skip


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """submit(*arguments of a script of tools/) -> number of the job; a fake Slurm is on the PATH."""
    images = tmp_path / 'images'
    images.mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f'{index}.png')
    bin, state = tmp_path / 'bin', tmp_path / 'state'
    bin.mkdir(), state.mkdir()
    for name in ('sbatch', 'srun', 'scontrol'):
        (bin / name).write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} {name} "$@"\n')
        (bin / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{bin}:{Path(sys.executable).parent}:{os.environ["PATH"]}')
    for name, value in dict(PYTHONPATH=ROOT, DATA_ROOT=images, FAKE_SLURM=state, OMP_NUM_THREADS=1).items():
        monkeypatch.setenv(name, str(value))

    def submit(script, *arguments, **variables):
        command = ['bash', 'tools/' + script, *map(str, arguments)]
        environment = dict(os.environ, **{name: str(value) for name, value in variables.items()})
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[1].rstrip(':'))

    return submit


def wait(tmp_path, job):
    """Status of the batch script and number of its restarts."""
    file = tmp_path / f'state/{job}.status'
    while not file.exists() or not file.read_text():
        time.sleep(0.2)
    return tuple(map(int, file.read_text().split()))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_reaches_its_time_limit_ends_equal_to_an_undisturbed_one(cluster, tmp_path):
    jobs = {}
    for name, variables in dict(straight={}, limited=dict(FAKE_LIMIT=tmp_path / f'limited/iter_{SAVED}.pth')).items():
        arguments = ('debug', f'the {name} job', CONFIG, tmp_path / name, *OPTIONS)
        jobs[name] = cluster('slurm_train.sh', *arguments, GPUS=2, **variables)
    logs = {}
    for name, job in jobs.items():
        status = wait(tmp_path, job)
        logs[name] = (tmp_path / f'{name}/slurm/{job}_0_log.out').read_text()
        assert status == (0, int(name == 'limited')), logs[name]
    assert 'SIGUSR2 received' in logs['limited'] and 'queued again' in logs['limited'], logs['limited']
    assert 'which the run continues' in logs['limited'] and 'SIGUSR2' not in logs['straight']
    ends = [torch.load(tmp_path / f'{name}/iter_{STEPS}.pth', weights_only=True) for name in jobs]
    one, other = (end['state_dict'] for end in ends)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert all(end['meta']['world_size'] == 2 for end in ends)
