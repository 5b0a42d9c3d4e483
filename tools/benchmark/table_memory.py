"""Memory of tables with many rows: curation from a table, and parquet labels, by the number of rows.

Rows are made up. `curate` applies thresholds to a table as `sapiens curate --from-table` does, without shards and examples: units
of 2,000 images with hashes, of which one in ten has a near copy, and the boxes of two people. `labels` writes one unit of
`sapiens infer --out-format parquet` with the 17 keypoints of two people. `list` cuts a list of paths into units of inference.

Each number is the peak of a process of its own, above what it held before with imports and a first small table.

Examples:
    python tools/benchmark/table_memory.py
    python tools/benchmark/table_memory.py --parts labels --counts 10000 100000
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil

UNIT = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS), help='default: all')
    parser.add_argument('--counts', nargs='+', type=int, default=[10**5, 10**6], help='default: %(default)s')
    parser.add_argument('--one', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one[0], int(args.one[1]))
        return
    print('| | rows | seconds of CPU | peak memory | bytes per row |')
    print('| --- | --- | --- | --- | --- |')
    for part in args.parts:
        for count in args.counts:  # a process each, whose peak is that of this count
            command = [sys.executable, __file__, '--one', part, str(count)]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds, peak = map(float, text.split())
            print(f'| {part} | {count:,} | {seconds:.1f} | {peak / 1e6:.0f} MB | {peak / count:.0f} |', flush=True)


def measure(part: str, count: int) -> None:
    """Print the seconds and the peak memory of a part in this process."""
    process, run = psutil.Process(), PARTS[part]
    with tempfile.TemporaryDirectory() as folder:
        for rows in (UNIT, count):
            work = run(Path(folder) / str(rows), rows)
            before, begin = process.memory_info().rss, time.process_time()
            with contextlib.redirect_stdout(io.StringIO()):
                work()
            seconds = time.process_time() - begin
    print(seconds, max(0, _peak() - before))


def curate(folder: Path, count: int):
    """Prepare a table of so many rows; returns the work that is measured."""
    # Not where processes are only started.
    from sapiens.commands.curate import main as curate

    # In a process of its own, since the peak of a process never falls.
    folder.mkdir()
    code = f'import runpy; runpy.run_path({__file__!r})["write_table"]({str(folder)!r}, {count})'
    subprocess.run([sys.executable, '-c', code], check=True)
    options = ['--no-shards', '--examples', '0', '--workers', '0']
    return lambda: curate(['--out', str(folder), '--from-table', str(folder / 'given.parquet'), *options])


def write_table(folder: str, count: int) -> None:
    """Write a table of curation with made-up rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sapiens.curation import load_settings
    from sapiens.curation.scoring import FILE_COLUMNS, columns_of

    schema = pa.schema([*FILE_COLUMNS.items(), *columns_of(load_settings('curation/humans300m.py').build()).items()])
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, count, np.uint64)
    hashes[-(count // 10) :] = hashes[: count // 10] ^ np.uint64(5)
    with pq.ParquetWriter(Path(folder) / 'given.parquet', schema, compression='zstd') as writer:
        for number, begin in enumerate(range(0, count, UNIT)):
            part, unit = hashes[begin : begin + UNIT], f'part-{number:06d}'
            size, scores = generator.integers(200, 4000, (2, len(part))), generator.uniform(0.5, 1, (len(part), 2))
            values = dict(
                key=[f'{unit}-{row:06d}' for row in range(len(part))],
                unit=[unit] * len(part),
                path=[f'/data/photographs/{number:06d}/{row:06d}.jpg' for row in range(len(part))],
                width=size[0],
                height=size[1],
                bytes=size.prod(0) // 4,
                error=[''] * len(part),
                size_side=size.min(0),
                natural_score=generator.uniform(0, 1, len(part)),
                duplicates_content=part,
                duplicates_hash=part,
                people_boxes=np.tile([0, 0, 400, 900, 100, 100, 600, 900], (len(part), 1)).tolist(),
                people_scores=scores.tolist(),
                people_best=scores.max(1),
            )
            same = dict(generation=0, tar='', offset=-1, format='JPEG')
            values |= {name: [value] * len(part) for name, value in same.items()}
            columns = [
                pa.array(values.get(name, [None] * len(part)), schema.field(name).type) for name in schema.names
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def labels(folder: Path, count: int):
    """Prepare a table of labels of so many images; returns the work that is measured."""
    from sapiens.apis.bulk.forms import ParquetForm

    folder.mkdir()
    plan = SimpleNamespace(written=lambda: ['pose'], saving=_saving())
    person = dict(
        bbox=[0.0, 1.5, 2.5, 3.5], bbox_score=0.5, score=0.5, keypoints=[1.5] * 34, keypoint_scores=[0.5] * 17
    )

    def work() -> None:
        form = ParquetForm(plan, folder, '000000')
        for number in range(count):
            form.append(dict(image=f'{number:09d}.jpg', width=640, height=480, people=[person, dict(person)]))
        form.close()

    return work


def paths(folder: Path, count: int):
    """Prepare a list of so many paths; returns the work that is measured."""
    from sapiens.apis.bulk.units import find_units

    folder.mkdir()
    with open(folder / 'list.txt', 'w') as file:
        file.writelines(f'photographs/{number:09d}.jpg\n' for number in range(count))

    def work() -> None:
        assert sum(len(unit.data['images']) for unit in find_units([str(folder / 'list.txt')], 1000)) == count

    return work


def _saving():
    from sapiens.apis.results import Saving

    return Saving()


PARTS = dict(curate=curate, labels=labels, list=paths)


def _peak() -> int:
    """Largest resident memory of this process, in bytes."""
    import resource

    scale = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


if __name__ == '__main__':
    main()
