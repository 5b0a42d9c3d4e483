"""Time and memory of the duplicate search, by the number of hashes.

Hashes are random, and one in ten has a near one. The count of pairs is checked against the copies that were made. With --rows the
whole comparison is measured, as the command does it: from the rows of units of 2,000 images to the duplicates of each.

With --beside other searches take turns with this one in one process and one thread: plain loops over all pairs in Python and
NumPy, imagededup, and indices of faiss. CPU time, from hashes to the images that are removed. All have to remove the same ones.
A search is left out where it would take longer than --limit, by the square of the number of hashes.

Examples:
    python tools/benchmark/duplicates.py --counts 10000 100000 1000000
    python tools/benchmark/duplicates.py --counts 10000 100000 1000000 10000000 --figure docs/figures/duplicates.png
    python tools/benchmark/duplicates.py --counts 1000 10000 100000 --beside python numpy imagededup faiss-flat faiss-multihash
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from duplicate_searches import SEARCHES, NotInstalled

OURS = 'this package'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--counts', nargs='+', type=int, default=[10**4, 10**5, 10**6], help='default: %(default)s')
    parser.add_argument('--distance', type=int, default=6, help='most bits of difference; default: %(default)s')
    parser.add_argument('--figure', type=Path, help='plot of seconds by count')
    parser.add_argument('--rows', action='store_true', help='from rows of the table instead of hashes alone')
    parser.add_argument('--beside', nargs='+', choices=SEARCHES, default=[], help='compare with these searches')
    parser.add_argument('--repeats', type=int, default=5, help='turns of --beside; default: %(default)s')
    parser.add_argument('--limit', type=float, default=60, help='seconds of CPU of --beside; default: %(default)s')
    parser.add_argument('--one', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one, args.distance, args.rows)
        return
    if args.beside:
        compare(args)
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

    hashes, copies = made_hashes(count, distance)
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


def made_hashes(count: int, distance: int) -> tuple[np.ndarray, int]:
    """Random hashes, (N,) uint64, and the number of those at the end that are near to one at the begin."""
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, count, np.uint64)
    copies = count // 10
    flipped = np.zeros(copies, np.uint64)
    for _ in range(distance):  # some bits may be drawn twice
        flipped |= np.uint64(1) << generator.integers(0, 64, copies).astype(np.uint64)
    hashes[count - copies :] = hashes[:copies] ^ flipped
    return hashes, copies


def compare(args: argparse.Namespace) -> None:
    """Print the times of this search and of others, and their ratios in neighboring runs."""
    print('| hashes | search | seconds of CPU: median (range) | times as long as ours | removed |')
    print('| --- | --- | --- | --- | --- |')
    missing, expected = set(), {}  # seconds for each pair of hashes, by the search before
    for count in sorted(args.counts):
        hashes, _ = made_hashes(count, args.distance)
        searches = {OURS: ours(hashes, args.distance)}
        for name in (name for name in args.beside if name not in missing):
            if expected.get(name, 0) * count**2 > args.limit:
                print(f'| {count:,} | {name} | not run: over {args.limit:g} s expected | | |', flush=True)
                continue
            try:
                searches[name] = SEARCHES[name](hashes, args.distance)
            except NotInstalled as error:
                missing.add(name)
                print(f'| | {name} | not measured: {error} is not installed | | |', flush=True)
        times, removed = take_turns(searches, args.repeats)
        for name, found in times.items():
            if removed[name] != removed[OURS]:
                differ = len(removed[name] ^ removed[OURS])
                raise SystemExit(f'{name}: {differ} removed images differ from the {len(removed[OURS])} of {OURS}')
            ratios = [one / own for one, own in zip(found, times[OURS], strict=True)]
            ratio = '' if name == OURS else spread(ratios)
            print(f'| {count:,} | {name} | {spread(found)} | {ratio} | {len(removed[name]):,} |', flush=True)
            expected[name] = statistics.median(found) / count**2


def ours(hashes: np.ndarray, distance: int) -> Callable[[], np.ndarray]:
    from sapiens.curation.near import choose_originals

    rank = np.arange(len(hashes))
    return lambda: np.flatnonzero(choose_originals(hashes, rank, distance)[0] >= 0)


def take_turns(searches: dict[str, Callable], repeats: int) -> tuple[dict[str, list[float]], dict[str, set[int]]]:
    """Times of each search, and what it removes."""
    searches[OURS]()  # first calls of libraries
    times, removed = {name: [] for name in searches}, {}
    for number in range(repeats):
        for name in list(searches)[:: -1 if number % 2 else 1]:
            begin = cpu_time()
            found = searches[name]()
            times[name].append(cpu_time() - begin)
            removed[name] = {int(one) for one in found}
    return times, removed


def cpu_time() -> float:
    """Seconds of this process, and of those that it started and that have ended: imagededup starts one."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def spread(values: list[float]) -> str:
    """Median and range."""
    median, least, most = (f'{value:.3g}' for value in (statistics.median(values), min(values), max(values)))
    return f'{median} ({least}-{most})'


def parts(hashes: np.ndarray, size: int = 2000) -> Iterator[pa.Table]:
    """Yield the columns that are compared, of each unit."""
    for begin in range(0, len(hashes), size):
        part = hashes[begin : begin + size]
        same = {name: np.full(len(part), 1000) for name in ('width', 'height', 'bytes', 'generation')}
        names = dict(unit=[f'part-{begin // size:06d}'] * len(part), error=[''] * len(part))
        yield pa.table(dict(names, duplicates_hash=part, **same))


def _peak() -> int:
    """Largest resident memory of this process, in bytes."""
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
