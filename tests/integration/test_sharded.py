"""The commands with sharded weights: training by two processes, a stop, its continuation, and tests by two and by one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'
OPTIONS = [
    '--cfg-options', 'train_dataloader.batch_size=2', 'train_cfg.max_iters=6', 'train_cfg.val_interval=6',
    'custom_hooks.0.interval=3', 'default_hooks.checkpoint.interval=3', 'default_hooks.logger.interval=1',
    *(f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')),
    *(f'{split}_dataloader.batch_size=2' for split in ('val', 'test')),
]  # fmt: skip
SHARDED = ['parallel.type=FSDP2', 'parallel.reduce_dtype=fp32']


@pytest.mark.slow
def test_train_stop_resume_and_test(tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    for index in range(7):
        pixels = np.random.default_rng(index).integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f'{index}.png')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    environment = dict(
        os.environ, PATH=path, PYTHONPATH=str(ROOT), DATA_ROOT=str(images), PORT=port, OMP_NUM_THREADS='1'
    )

    def start(*command):
        return subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    train = ['bash', 'tools/dist_train.sh', CONFIG, 2, '--work-dir', tmp_path / 'run']
    process = start(*train, *OPTIONS, *SHARDED, 'train_cfg.max_iters=6000')
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(r'step +2/6000 ', line):
            process.send_signal(signal.SIGTERM)
    assert process.wait() == 143, ''.join(lines)
    assert any('weights sharded over 2 processes, gathered in fp32' in line for line in lines)
    stopped = int((tmp_path / 'run/last_checkpoint').read_text().rpartition('iter_')[2].removesuffix('.pth'))
    length = stopped + 3
    resumed = start(*train, '--resume', *OPTIONS, *SHARDED, f'train_cfg.max_iters={length}')
    output, _ = resumed.communicate()
    assert resumed.returncode == 0 and f'run/iter_{stopped}.pth' in output, output
    file = tmp_path / f'run/iter_{length}.pth'
    weights = torch.load(file, weights_only=True)['state_dict'].values()
    assert all(type(value) is torch.Tensor and value.isfinite().all() for value in weights)
    assert len(list((tmp_path / 'run').rglob('reconstruction_*.png'))) >= 2

    scores = []
    for command, options in ((['bash', 'tools/dist_test.sh'], [2]), ([sys.executable, 'tools/test.py'], [])):
        out = tmp_path / f'{len(scores)}.json'
        arguments = ['--work-dir', tmp_path / f'test{len(scores)}', '--out', out]
        tested = start(*command, CONFIG, file, *options, *arguments, *OPTIONS, *(SHARDED if options else ()))
        output, _ = tested.communicate()
        assert tested.returncode == 0, output
        scores.append(json.loads(out.read_text())['mae/loss'])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
