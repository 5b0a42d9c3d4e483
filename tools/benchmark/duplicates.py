"""Time and memory of the duplicate search, by the number of hashes.

Hashes are random, and one in ten has a near one. The count of pairs is checked against the copies that were made. With --rows the
whole comparison is measured, as the command does it: from the rows of units of 2,000 images to the duplicates of each.

Examples:
    python tools/benchmark/duplicates.py --counts 10000 100000 1000000
    python tools/benchmark/duplicates.py --counts 10000 100000 1000000 10000000 --figure docs/figures/duplicates.png
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--counts', nargs='+', type=int, default=[10**4, 10**5, 10**6], help='default: %(default)s')
    parser.add_argument('--distance', type=int, default=6, help='most bits of difference; default: %(default)s')
    parser.add_argument('--figure', type=Path, help='plot of seconds by count')
    parser.add_argument('--rows', action='store_true', help='from rows of the table instead of hashes alone')
    parser.add_argument('--one', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one, args.distance, args.rows)
        return
    points = []
    print('| hashes | seconds of CPU | microseconds each | peak memory | MB per million | duplicates found of made |')
    print('| --- | --- | --- | --- | --- | --- |')
    for count in args.counts:  # a process each, whose peak is that of this count
        command = [sys.executable, __file__, '--one', str(count), '--distance', str(args.distance)]
        command += ['--rows'] if args.rows else []
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, peak, found, made = map(float, text.split())
        points.append((count, seconds))
        print(
            f'| {count:,} | {seconds:.2f} | {1e6 * seconds / count:.1f} | {peak / 1e6:.0f} MB | {peak / count:.0f} | '
            f'{found:,.0f} of {made:,.0f} |',
            flush=True,
        )
    if args.figure:
        draw(points, args)


def measure(count: int, distance: int, rows: bool) -> None:
    # Not where processes are only started.
    from sapiens.curation.collection import Collection
    from sapiens.curation.filters import build_filters
    from sapiens.curation.near import choose_originals

    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, count, np.uint64)
    copies = count // 10
    flipped = np.zeros(copies, np.uint64)
    for _ in range(distance):  # some bits may be drawn twice
        flipped |= np.uint64(1) << generator.integers(0, 64, copies).astype(np.uint64)
    hashes[-copies:] = hashes[:copies] ^ flipped
    process = psutil.Process()
    if rows:
        filters = build_filters(dict(duplicates=dict(type='Duplicates', distance=distance)))
        # Memory that Arrow holds for reuse and imports are not those of the comparison.
        Collection.compare(parts(hashes[:10_000]), filters)
        before, begin = process.memory_info().rss, time.process_time()
        original = Collection.compare(parts(hashes), filters).original
    else:
        before, begin = process.memory_info().rss, time.process_time()
        original, _ = choose_originals(hashes, np.arange(count), distance)
    seconds = time.process_time() - begin
    peak = _peak() - before
    print(seconds, peak, int((original[-copies:] >= 0).sum()), copies)


def parts(hashes: np.ndarray, size: int = 2000) -> Iterator[pa.Table]:
    """Yield the columns that are compared, of each unit."""
    for begin in range(0, len(hashes), size):
        part = hashes[begin : begin + size]
        same = {name: np.full(len(part), 1000) for name in ('width', 'height', 'bytes', 'generation')}
        names = dict(unit=[f'part-{begin // size:06d}'] * len(part), error=[''] * len(part))
        yield pa.table(dict(names, duplicates_hash=part, **same))


def _peak() -> int:
    """Largest resident memory of this process, in bytes."""
    import resource

    scale = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def draw(points: list[tuple[int, float]], args) -> None:
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.5))
    counts, seconds = np.array(points).T
    axes.loglog(counts, seconds, 'o-', label=f'up to {args.distance} bits of 64')
    axes.loglog(counts, seconds[0] * counts / counts[0], '--', color='gray', label='linear')
    axes.loglog(counts, seconds[0] * (counts / counts[0]) ** 2, ':', color='gray', label='all pairs')
    axes.set(xlabel='hashes', ylabel='seconds of CPU', ylim=(seconds[0] / 2, 10 * seconds[-1]))
    axes.legend()
    figure.tight_layout()
    args.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.figure, dpi=120)


if __name__ == '__main__':
    main()
