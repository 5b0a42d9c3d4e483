"""Time that training loses to a checkpoint: as one file, and as a folder that is written in the background.

    python tools/benchmark/checkpoints.py configs/mae/sapiens_tiny_synthetic-128x128.py --repeats 5
    torchrun --nproc-per-node 8 tools/benchmark/checkpoints.py configs/mae/sapiens_2b_humans300m-1024x1024.py --out /scratch

The main process writes a file while all processes wait. Of a folder each process writes its part. Weights and the state of AdamW
of a config are saved. Meanwhile steps run, products of matrices on one thread or the GPU. "Stall" is the time of the call that
begins to save. "Seconds" are those until the checkpoint is complete. "Step" is the time of a step meanwhile, relative to one
without a save. The ways take turns. The thread that writes needs an idle core.
"""

import logging
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from prettytable import PrettyTable

from sapiens.engine.checkpoint_folder import FolderWriter
from sapiens.engine.checkpoint_io import size_of, write_checkpoint
from sapiens.registry import MODELS
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument

WAYS = ('file', 'folder')


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('config', metavar='CONFIG')
    parser.add_argument('--out', type=Path, help='folder to write to; default: a temporary one')
    parser.add_argument('--repeats', type=positive, default=3, help='saves of each way; default: %(default)s')
    text = 'side of the matrices of a step; default: %(default)s'
    parser.add_argument('--work', type=positive, default=1024, help=text)
    add_options_argument(parser)
    return parser.parse_args()


def build_checkpoint(args, device: str) -> dict:
    cfg = load_config(args.config, args.cfg_options)
    cfg.model.backbone.pop('init_cfg', None)
    with torch.device(device):
        model = MODELS.build(cfg.model)
    moments = {
        index: dict(step=torch.zeros(()), exp_avg=torch.zeros_like(value), exp_avg_sq=torch.zeros_like(value))
        for index, value in enumerate(model.parameters())
    }
    return dict(meta=dict(iter=0), state_dict=model.state_dict(), optimizer=dict(state=moments, param_groups=[]))


def step(matrix: torch.Tensor) -> float:
    begin = time.perf_counter()
    for _ in range(10):
        matrix = (matrix @ matrix).tanh()
    if matrix.device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def save(
    way: str, checkpoint: dict, path: Path, writer: FolderWriter, matrix: torch.Tensor
) -> tuple[float, float, float]:
    """Stall, seconds to the complete checkpoint, and the ratio of steps."""
    usual = statistics.median(step(matrix) for _ in range(5))
    begin, slowed = time.perf_counter(), []
    if way == 'file':
        if not dist.is_initialized() or dist.get_rank() == 0:
            write_checkpoint(checkpoint, path.with_suffix('.pth'))
        if dist.is_initialized():
            dist.barrier()
        return (time.perf_counter() - begin,) * 2 + (1.0,)
    writer.start(checkpoint, path, lambda: None)
    stall = time.perf_counter() - begin
    while not writer.is_done:
        slowed.append(step(matrix))
    writer.wait()
    return stall, time.perf_counter() - begin, statistics.median(slowed or [usual]) / usual


def main() -> None:
    args = parse_args()
    if 'RANK' in os.environ:
        dist.init_process_group('cpu:gloo,cuda:nccl' if torch.cuda.is_available() else 'gloo')
    device = f'cuda:{os.environ.get("LOCAL_RANK", 0)}' if torch.cuda.is_available() else 'cpu'
    torch.set_num_threads(1)
    checkpoint, matrix = build_checkpoint(args, device), torch.rand(args.work, args.work, device=device) / args.work
    writer, found = FolderWriter(logging.getLogger()), {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=args.out) as temporary:
        folder = [temporary]
        if dist.is_initialized():
            dist.broadcast_object_list(folder)
        for number in range(-1, args.repeats):  # the first save allocates the copy
            for way in WAYS:
                path = Path(folder[0]) / f'{way}_{number}'
                times = save(way, checkpoint, path, writer, matrix)
                if number >= 0:
                    found[way].append(times)
                if not dist.is_initialized() or dist.get_rank() == 0:
                    shutil.rmtree(path, ignore_errors=True)
                    path.with_suffix('.pth').unlink(missing_ok=True)
    writer.close()
    if dist.is_initialized() and dist.get_rank():
        return
    world = dist.get_world_size() if dist.is_initialized() else 1
    table = PrettyTable(['checkpoint', 'processes', 'MB', 'stall s', 'seconds', 'step'])
    table.align = 'r'
    for way, rows in found.items():
        cells = [
            f'{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})'
            for values in zip(*rows, strict=True)
        ]
        table.add_row([way, world, f'{size_of(checkpoint) / 1e6:.0f}', *cells])
    print(table)


if __name__ == '__main__':
    main()
