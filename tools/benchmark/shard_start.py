"""Time from an index of tar shards to the first batch, for many ranks that start together.

    python tools/benchmark/shard_start.py [--ranks 64 --shards 10000]

Each rank is a process, forked when everything is imported. It reads the index, draws its first batch, and reads where the samples
of each shard in it lie. There are no shards: images are not read.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from sapiens.datasets import ShardSampler, TarShards
from sapiens.datasets.shard_index import Scan, write_index
from sapiens.utils.cli import positive, tool_parser


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--ranks', type=positive, default=64)
    parser.add_argument('--shards', type=positive, default=10_000)
    parser.add_argument('--images', type=positive, default=5000, help='mean number of images in a shard')
    parser.add_argument('--batch', type=positive, default=64, help='of each rank')
    return parser.parse_args()


def make_index(folder: str, shards: int, images: int) -> str:
    """Write an index of shards of unequal size."""
    counts = np.random.default_rng(0).integers(images // 2, images + images // 2, shards).tolist()
    places = np.stack([np.arange(max(counts), dtype=np.uint32) * 400, np.full(max(counts), 300, np.uint32)], 1)
    scans = [Scan(512 * 400 * count, places[:count]) for count in counts]
    path = f'{folder}/index.safetensors'
    write_index(path, [f'{folder}/shard-{i:06}.tar' for i in range(shards)], scans)
    return path


def start(path: str, rank: int, ranks: int, batch: int) -> list[float]:
    """Seconds until the index is read, until the first batch is drawn, and of a later batch; and the shards of the first."""
    begin = time.perf_counter()
    data = TarShards(path)
    read = time.perf_counter()
    sampler = ShardSampler(data, batch, seed=0)
    sampler.rank, sampler.world_size = rank, ranks
    draws = iter(sampler)
    shards = {data.index.locate(next(draws))[0] for _ in range(batch)}
    for shard in shards:
        data.index.read_places(shard)
    first = time.perf_counter()
    for _ in range(20 * batch):
        next(draws)
    return [read - begin, first - begin, (time.perf_counter() - first) / 20, len(shards)]


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = make_index(folder, args.shards, args.images)
        print(f'index of {args.shards} shards: {os.path.getsize(path) / 1e6:.0f} MB')
        children, begin = [], time.perf_counter()
        for rank in range(args.ranks):
            child = os.fork()
            if child == 0:
                times = start(path, rank, args.ranks, args.batch)
                Path(folder, f'{rank}.txt').write_text(' '.join(map(str, times)))
                os._exit(0)
            children.append(child)
        if any([os.waitpid(child, 0)[1] for child in children]):
            raise SystemExit('a rank has failed')
        total = time.perf_counter() - begin
        rows = [[float(x) for x in Path(folder, f'{rank}.txt').read_text().split()] for rank in range(args.ranks)]
    for name, values in zip(
        ('index read', 'first batch drawn', 'each later batch'), zip(*rows, strict=True), strict=False
    ):
        print(f'{name}: {statistics.median(values):.3f} s (median), {max(values):.3f} s (slowest rank)')
    print(f'shards in a first batch of {args.batch}: {statistics.median(row[3] for row in rows):.0f} (median)')
    print(f'{args.ranks} ranks on {os.cpu_count()} cores: {total:.1f} s until all had drawn 21 batches')


if __name__ == '__main__':
    main()
