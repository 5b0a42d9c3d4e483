"""Time that the runner of a study adds to a run, compared with the same command without it.

    python tools/benchmark/ablate.py [--runs 7]

The runs are trainings of a few steps on random images, one seed each. A bare run and one of a study take turns. The CPU time of
the runner is that of its process, without the training. It holds on a busy machine too, and leaves out the waiting: up to 0.2 s
for the end of a run.
"""

import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from sapiens.studies.child import command_of
from sapiens.studies.load import load_study
from sapiens.studies.plan import Plan, plan_study
from sapiens.studies.runner import Local, run_plan, state_of
from sapiens.utils.cli import positive, tool_parser

STUDY = """
base = 'mae/sapiens_tiny_folder-256x256'
options = {
    'model.backbone.img_size': (64, 64),
    'model.backbone.arch': dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64),
    'model.decoder': dict(num_layers=1, embed_dims=16, num_heads=2),
    'train_dataloader.dataset.pipeline.0.size': (64, 64), 'val_dataloader.dataset.pipeline.0.size': (64, 64),
    'train_dataloader.batch_size': 2, 'train_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0,
    'train_cfg.max_iters': 4, 'train_cfg.val_interval': 4, 'default_hooks.checkpoint.interval': 4, 'custom_hooks': [],
}
variants = [dict(name='tiny')]
metrics = {'loss': 'lower'}
"""


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--runs', type=positive, default=7, help='of each kind; default: %(default)s')
    return parser.parse_args()


def bare(plan: Plan, local: Local, folder: Path) -> float:
    """Seconds of the command of a run in another work dir."""
    command = command_of(replace(plan.runs[0], folder=folder))
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **local.environment(0)})
    return time.perf_counter() - begin


def studied(plan: Plan, local: Local) -> tuple[float, float]:
    """Seconds of the same run by the runner, from the look at its state to its record, and CPU seconds of the runner."""
    begin, cpu = time.perf_counter(), time.process_time()
    run_plan(plan, local, report=lambda text: None)
    seconds = time.perf_counter() - begin, time.process_time() - cpu
    if (state := state_of(plan.runs[0])).name != 'done':
        raise SystemExit(f'{plan.runs[0].name}: {state.name} ({state.why})')
    return seconds


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ['DATA_ROOT'] = str(folder / 'images')
        (folder / 'images').mkdir()
        for index, image in enumerate(np.random.default_rng(0).integers(0, 255, (4, 80, 80, 3), np.uint8)):
            Image.fromarray(image).save(folder / 'images' / f'{index}.png')
        file, local, pairs, planned = folder / 'study.py', Local(), [], []
        file.write_text(STUDY)
        for seed in range(args.runs + 1):
            begin = time.perf_counter()
            plan = plan_study(load_study(file, [seed]), folder / 'runs')
            planned.append(time.perf_counter() - begin)
            if seed % 2:
                run = studied(plan, local)
                pairs.append((bare(plan, local, folder / f'bare-{seed}'), *run))
            else:
                pairs.append((bare(plan, local, folder / f'bare-{seed}'), *studied(plan, local)))
    bares, runs, cpu = zip(*pairs[1:], strict=True)  # the first pair reads the files of the libraries
    added = [run - one for one, run in zip(bares, runs, strict=True)]
    print(f'bare: {statistics.median(bares):.2f} s (median of {args.runs})')
    print(f'by the runner: {statistics.median(runs):.2f} s')
    print(f'added to a run: {statistics.median(added):.2f} s (median), {min(added):.2f} to {max(added):.2f} s')
    print(f'CPU time of the runner: {statistics.median(cpu):.2f} s of a run (median), {max(cpu):.2f} s at most')
    print(f'plan of the study, once: {statistics.median(planned):.2f} s')


if __name__ == '__main__':
    main()
