"""tools/dist_train.sh with a killed rank."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from .test_slurm import CONFIG, OPTIONS, ROOT, STEPS


def test_a_killed_rank_is_started_again_and_resumes(tmp_path):
    (tmp_path / 'images').mkdir()
    for index in range(8):
        pixels = np.random.default_rng(index).integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'images/{index}.png')
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    variables = dict(PATH=path, PYTHONPATH=str(ROOT), DATA_ROOT=str(tmp_path / 'images'), OMP_NUM_THREADS='1')

    def start(name):
        command = ['bash', 'tools/dist_train.sh', CONFIG, '2', '--work-dir', tmp_path / name, *OPTIONS]
        with open(tmp_path / f'{name}.log', 'w') as log:
            return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ, **variables), stdout=log, stderr=log)

    runs = {name: start(name) for name in ('straight', 'killed')}  # at once on one machine, without a port
    while not (tmp_path / 'killed/last_checkpoint').exists():  # written after the checkpoint
        assert runs['killed'].poll() is None, (tmp_path / 'killed.log').read_text()
        time.sleep(0.02)
    ranks = [one for one in psutil.Process(runs['killed'].pid).children() if one.environ().get('RANK') == '1']
    assert len(ranks) == 1
    ranks[0].kill()
    for name, run in runs.items():
        assert run.wait() == 0, (tmp_path / f'{name}.log').read_text()
    log = (tmp_path / 'killed.log').read_text()
    assert 'rank 1 was ended by SIGKILL' in log and 'restart 1 of 3, checkpoint: iter_' in log, log
    assert f'weights     of {tmp_path}/killed/iter_' in log, log
    one, other = (torch.load(tmp_path / f'{name}/iter_{STEPS}.pth', weights_only=True)['state_dict'] for name in runs)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
