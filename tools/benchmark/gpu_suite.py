"""Fill the tables of docs/performance.md about GPUs, on one GPU of 80 GB: run it once, or several times with --resume.

    PYTHONPATH=. python tools/benchmark/gpu_suite.py --budget 480                 # what must be had comes first
    PYTHONPATH=. python tools/benchmark/gpu_suite.py --budget 480 --resume        # the next cases, and all tables
    PYTHONPATH=. python tools/benchmark/gpu_suite.py --smoke                      # everything with tiny models on a CPU
    python tools/benchmark/gpu_suite.py --needs > needs.txt                       # wheels for a machine without an index

Steps are those of a run: config, Runner, hooks, fused AdamW, clipping, bf16 autocast, and a batch with labels in pinned memory,
of random images. Each case is a process of its own. One that runs out of memory is run again with half of its batch. Results are
lines of JSON in --output; FILE.log has what the processes print. Estimates of operations and memory, and loading, run on the host
meanwhile. What is not installed is named and left out.

- step ms: median of 20 steps, from CUDA events. MFU: operations of the model, without those that are computed again, of the
  device's dense bf16 rate. GPU idle: fraction of three profiled steps without any kernel or copy.
- peak GB: of the allocator (10^9 bytes), during the measured steps. Error: of `sapiens estimate`, + is too much.
- against others: turns of five steps, in alternating order. Ratio: time of the other / of sapiens.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

# Asking for a GPU must not touch it: processes are forked from one that has imported everything.
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

from gpu_cases import Case, smallest, suite_cases
from gpu_lanes import Results, run_cases
from gpu_needs import commit, wheels
from gpu_table import report
from gpu_work import HEAVY, work

from sapiens.utils.cli import positive, tool_parser

HERE = Path(__file__).parent
NOTE = 'Tiny models on a CPU, with MFU of 1 TFLOP/s: these numbers only show that the suite works.'
# Processes at the same time: on a GPU one that uses it, on a CPU of a smoke test one more.
PLACES, SMOKE_PLACES = dict(device=1, host=1), dict(device=2, host=1)


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('--budget', type=positive, default=480, metavar='SECONDS', help='default: %(default)s')
    parser.add_argument('--resume', action='store_true', help='add to the results that are there')
    parser.add_argument('--output', metavar='FILE', help='default: work_dirs/gpu_suite.jsonl; for --smoke none')
    parser.add_argument('--only', nargs='+', metavar='TEXT', help='cases whose name has one of these texts')
    parser.add_argument('--smoke', action='store_true', help='all cases with tiny models, on a CPU')
    parser.add_argument('--list', action='store_true', help='only print the names of the cases')
    parser.add_argument('--table', action='store_true', help='only print the tables of the results')
    text = 'only print the wheels to carry to a machine with torch, for a version of Python (default: 3.12)'
    parser.add_argument('--needs', nargs='?', const='3.12', metavar='PYTHON', help=text)
    args = parser.parse_args()
    args.cases = smallest(suite_cases()) if args.smoke else suite_cases()
    args.chosen = [case for case in args.cases if not args.only or any(text in case.name for text in args.only)]
    if not args.chosen:
        parser.error(f'--only {" ".join(args.only)}: no case has such a name; --list prints the names')
    if args.table and not args.output and args.smoke:
        parser.error('--table: results of --smoke are in a file only with --output')
    return args


def contexts() -> list:
    """Ways to start processes: from one that has imported everything, or else from the start."""
    os.environ['PYTHONPATH'] = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')])
    forked = multiprocessing.get_context('forkserver')
    forked.set_forkserver_preload(HEAVY)
    return [forked, multiprocessing.get_context('spawn')]


def facts_of(args: argparse.Namespace, results: Results, log: str) -> tuple[dict, object]:
    """Facts of the device, and the context whose processes can use it.

    Raises:
        SystemExit: no process can use the device, or the results are of another one.
    """
    case = Case('facts', 'MAE 0.95', 'tiny' if args.smoke else '1b', is_tiny=args.smoke)
    before = results.rows.get(case.name, {}).get('values', {})
    for context in contexts():
        found = Results()
        run_cases([case], work, found, time.monotonic() + 120, context, log=log, least=0, tell=lambda text: None)
        row = found.rows[case.name]
        if row['state'] == 'done':
            facts = row['values']
            break
    else:
        raise SystemExit(f'no process can use the device: {row["error"]} (see {log})')
    for name in ('device', 'torch'):
        if before and before[name] != facts[name]:
            raise SystemExit(
                f'{results.path} has results of {before[name]}, not of {facts[name]}: choose another --output'
            )
    known = [name for name in before.get('commit', '').split(' and ') if name]
    facts['commit'] = ' and '.join(dict.fromkeys([*known, commit()]))
    results.add(dict(row, values=facts))
    return facts, context


def run(args: argparse.Namespace, output: Path) -> str:
    """Run cases within the budget; returns the tables."""
    end = time.monotonic() + args.budget
    results = Results(output, keep=args.resume or args.table)
    if args.table:
        facts = next((row['values'] for name, row in results.rows.items() if name.startswith('facts/')), {})
    else:
        log = f'{output}.log'
        output.parent.mkdir(parents=True, exist_ok=True)
        facts, context = facts_of(args, results, log)
        places, least = (SMOKE_PLACES, 0) if args.smoke else (PLACES, 8)
        run_cases(args.chosen, work, results, end, context, log=log, least=least, places=places, tell=tell)
    peak = 1e12 if args.smoke else rate_of(facts.get('device', '').split(',')[0])
    text = report(args.cases if not args.only else args.chosen, results.rows, facts, peak)
    return f'{text}\n\n{NOTE}' if args.smoke else text


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def rate_of(device: str) -> float | None:
    from gpu_host import peak_rate

    return peak_rate(device)


def tell(text: str) -> None:
    print(f'{time.strftime("%H:%M:%S")} {text}', file=sys.stderr, flush=True)


def main() -> None:
    args = parse_args()
    if args.needs:
        print(f'# pip download --only-binary :all: --python-version {args.needs} --no-deps -r THIS_FILE -d wheels')
        print('# On the machine: torch>=2.11 with its torchvision, then pip install --no-index --no-deps wheels/*.whl')
        print('\n'.join(wheels(args.needs)))
        return
    if args.list:
        print('\n'.join(f'{case.name}, {case.batch} images' for case in args.chosen))
        return
    if not (args.smoke or args.table or has_gpu()):
        raise SystemExit('torch finds no GPU here: --smoke runs everything with tiny models on a CPU')
    try:
        if args.smoke and not args.output:
            with tempfile.TemporaryDirectory() as folder:
                print(run(args, Path(folder) / 'smoke.jsonl'))
            return
        print(run(args, Path(args.output or 'work_dirs/gpu_suite.jsonl')))
    except FileExistsError as error:
        raise SystemExit(str(error)) from None


if __name__ == '__main__':
    main()
