"""Plan, run and compare the variants of an ablation study.

A study is a config file with a base, variants or a grid, seeds, metrics and checks. Its runs are those of sapiens train and
sapiens test, with work dirs in work_dirs/ablations/STUDY/VARIANT/STAGE-seedN. Guide: docs/ablations.md.

Examples:
    sapiens ablate mini/layer_decay                            # what would run, what is done, what it costs
    sapiens ablate mini/layer_decay run --on local:2           # two runs at a time; again to continue
    sapiens ablate STUDY.py run --only 'decay-*' --seeds 0-2 --retry-failed
    sapiens ablate STUDY.py status
    sapiens ablate STUDY.py table --out results                # results.md, .csv, .json, .png
    sapiens ablate STUDY.py diff decay-1.0 decay-0.85          # which options of two variants differ
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

from prettytable import PrettyTable

from sapiens.commands.submit import add_batch_arguments, refuse_wrong_sbatch, shared_parameters
from sapiens.studies.child import PROGRAM
from sapiens.studies.clean import remove, superfluous
from sapiens.studies.cluster import minutes_of, submit_plan
from sapiens.studies.compare import compare
from sapiens.studies.cost import Cost, check_disk, cost_of_plan, disk_bytes, model_sizes
from sapiens.studies.figure import draw_study, write_hparams
from sapiens.studies.load import load_study, parse_seeds
from sapiens.studies.plan import ROOT, Plan, missing_starts, plan_study
from sapiens.studies.results import collect
from sapiens.studies.runner import Local, Stopped, run_plan, state_of
from sapiens.studies.search import check_search, run_search, trial_variants
from sapiens.studies.table import as_csv, as_json, as_markdown, insert
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.counting import count_of
from sapiens.utils.files import write_atomically

COSTS = '.costs'
"""Folder of measured and estimated costs below that of all studies."""
HPARAMS = 'hparams'
LONGEST = 60  # characters of a value in a table of differences


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--on', '--only', '--seeds', '--retry-failed', '--out', '--into'))
    parser.add_argument('study', help='file of a study, or the name of one below configs/ablations')
    parser.add_argument('action', nargs='?', choices=list(RUN), default='plan', help='default: %(default)s')
    parser.add_argument('names', nargs='*', metavar='VARIANT', help='of diff: two variants')
    add = parser.add_argument
    text = (
        'local, or local:N for N runs at a time; slurm, or slurm:N; submitit-local:N and submitit-debug run its jobs here; '
        'default: %(default)s'
    )
    add('--on', default='local', metavar='WHERE', help=text)
    add('--gpus', type=positive, metavar='N', help='of each run, on one machine; default: 1, or 0 where there is none')
    add('--only', metavar='GLOB', help='variants whose name fits')
    add('--seeds', metavar='SEEDS', help='instead of those of the study: 0-2 or 0,3')
    add('--root', type=Path, default=ROOT, metavar='DIR', help='folder of all studies; default: %(default)s')
    add('--no-trial', action='store_true', help='plan: without a trial of a few steps for each distinct model')
    text = 'plan --on slurm: the kind whose time is estimated; default: %(default)s'
    add('--gpu', default='H100', metavar='NAME', help=text)
    add('--retry-failed', action='store_true', help='run: also start those that have failed')
    add('--yes', action='store_true', help='allow more than 200 runs; clean: remove what it lists')
    add('--checkpoints', action='store_true', help='clean: also checkpoints of done runs that no other run needs')
    add(
        '--tensorboard',
        action='store_true',
        help="table: also write options and metrics for TensorBoard's HParams page",
    )
    add('--out', type=Path, metavar='STEM', help='table: write STEM.md, STEM.csv, STEM.json and STEM.png')
    add(
        '--into', type=Path, metavar='FILE', help='table: replace what stands between the markers of the study in FILE'
    )
    add_batch_arguments(parser.add_argument_group('jobs of --on slurm').add_argument)
    argv = sys.argv[1:] if argv is None else list(argv)
    # The help of the second one lacks the positional arguments.
    asks = not {'-h', '--help'}.isdisjoint(argv)
    args = parser.parse_args(argv) if asks else parser.parse_intermixed_args(argv)
    refuse_wrong_sbatch(parser, args)
    if args.names and args.action != 'diff':
        parser.error(f'{args.names[0]}: only diff takes variants (--only chooses them for {args.action})')
    if not re.fullmatch(r'(local|slurm|submitit-local|submitit-debug)(:[1-9]\d*)?', args.on):
        parser.error(f'--on {args.on}: expected local, local:N, slurm, slurm:N, submitit-local:N or submitit-debug')
    if args.on.startswith('slurm') and args.action == 'run' and args.time is None:
        parser.error('--on slurm needs --time, after which a run is queued again and resumes')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    study = load_study(args.study, parse_seeds(args.seeds) if args.seeds else None)
    if args.action == 'clean' and (args.only or args.seeds):
        raise ValueError('clean takes neither --only nor --seeds: what they leave out would count as superfluous')
    variants = None
    if args.action in ('table', 'status') and (trials := trial_variants(study, args.root)):
        variants = [*study.variants, *trials]
    plan = plan_study(study, args.root, args.only, args.yes or args.action != 'run', variants)
    return RUN[args.action](args, plan)


def say(text: str) -> None:
    """Print a line at once, also into a file."""
    print(text, flush=True)


def _plan(args: argparse.Namespace, plan: Plan) -> int:
    where, _, number = args.on.partition(':')
    is_local = where != 'slurm'
    local = _local(args, int(number or 1) if is_local else 1)
    costs = cost_of_plan(plan, args.root / COSTS, local, None if is_local else args.gpu, not args.no_trial, PROGRAM)
    if plan.study.search is not None:
        try:
            check_search(plan.study)
        except ImportError as error:
            plan.notes.append(str(error))
    plan.notes += missing_starts(plan.runs)
    if any(cost.seconds is None and cost.step_seconds is not None for cost in costs.values()):
        plan.notes.append('runs of unknown length count epochs, and their data are not here: set DATA_ROOT')
    _print_tree(plan, costs)
    print(total(costs, local, int(number or 1) if is_local else 0))
    needed = disk_bytes(plan, model_sizes(plan, args.root / COSTS))
    print(f'checkpoints: up to {needed / 2**30:.2f} GiB')
    check_disk(plan, needed)
    return 0


def _local(args: argparse.Namespace, slots: int) -> Local:
    return Local(slots) if args.gpus is None else Local(slots, args.gpus)


def describe_cost(cost: Cost) -> str:
    """'12.3 min (0.15 s a step, 1.2 GiB)'."""
    if cost.source == 'shared':
        return 'another study has its result'
    if cost.seconds is None and cost.step_seconds is None:
        return cost.source.partition(': ')[0]  # the reason is told once, for all
    time = 'unknown length' if cost.seconds is None else f'{cost.seconds / 60:.1f} min'
    if cost.step_seconds is None:
        return f'{time} (as equal runs took)'
    return f'{time} ({cost.step_seconds:.3g} s a step, {cost.memory / 2**30:.2f} GiB, {cost.source})'


def total(costs: dict[str, Cost], local: Local, slots: int) -> str:
    """The sum of what is known, in hours, and in hours of GPUs where there are some."""
    known = [cost.seconds for cost in costs.values() if cost.seconds is not None]
    hours, unknown = sum(known) / 3600, len(costs) - len(known)
    text = f'total: {hours:.2f} h of runs without their evaluations'
    text += f', {hours / slots:.2f} h with {slots} at a time' if slots > 1 else ''
    text += f', {hours * local.gpus:.2f} GPU-hours' if local.gpus else ''
    return text + (f'; {count_of(unknown, "run")} of unknown cost' if unknown else '')


def _status(args: argparse.Namespace, plan: Plan) -> int:
    _print_tree(plan)
    return 0


def _print_tree(plan: Plan, costs: dict[str, Cost] | None = None) -> None:
    """Print the runs below their variants, shared ones once."""
    shown: set[str] = set()
    counts: dict[str, int] = {}
    for variant in dict.fromkeys(name for name, _ in plan.chains):
        print(variant)
        for (name, _), chain in plan.chains.items():
            if name != variant:
                continue
            for depth, run in enumerate(chain.values()):
                line = f'{"  " * (depth + 1)}{run.stage.name}-seed{run.seed}'
                if run.hash in shown:
                    print(f'{line}  as {run.name}')
                    continue
                shown.add(run.hash)
                state = state_of(run)
                counts[state.name] = counts.get(state.name, 0) + 1
                cost = f'  {describe_cost(costs[run.hash])}' if costs and run.hash in costs else ''
                if state.record is not None and state.record.origin and state.name == 'done':
                    line += f'  from {state.record.origin}'
                print(f'{line}  {state.name}' + (f' ({state.why})' if state.why else '') + cost)
    reasons = {cost.source for cost in (costs or {}).values() if ': ' in cost.source}
    for note in [*plan.notes, *sorted(reasons)]:
        print(f'note: {note}')
    print(f'{count_of(len(plan.runs), "run")}: ' + ', '.join(f'{count} {name}' for name, count in counts.items()))


def _run(args: argparse.Namespace, plan: Plan) -> int:
    if missing := missing_starts(run for run in plan.runs if state_of(run).name != 'done'):
        raise FileNotFoundError(f'{plan.study.file} cannot run: ' + '; '.join(missing))
    check_disk(plan, disk_bytes(plan, model_sizes(plan, args.root / COSTS)))
    where, _, number = args.on.partition(':')
    if where != 'local':
        return _submit(args, plan, where.removeprefix('submitit-'), int(number or (256 if where == 'slurm' else 1)))
    local = _local(args, int(number or 1))
    has_search = plan.study.search is not None and args.only is None
    if has_search:
        check_search(plan.study)
    try:
        run_plan(plan, local, PROGRAM, args.retry_failed, say)
        if has_search:
            run_search(plan.study, args.root, local, PROGRAM, say)
    except Stopped as stop:
        sys.exit(128 + stop.number)
    return summarize(plan)


def _submit(args: argparse.Namespace, plan: Plan, executor: str, parallel: int) -> int:
    if plan.study.search is not None:
        say('note: the named variants run; the search runs with --on local only')
    gpus = args.gpus or 1
    parameters = dict(
        shared_parameters(args),
        time=args.time and minutes_of(args.time),  # submitit computes with it
        job_name=f'ablate-{Path(plan.study.name).name}',
        nodes=1,
        ntasks_per_node=1,
        gres=f'gpu:{gpus}',
        setup=args.setup,
        srun_args=[f'--cpus-per-task={args.cpus_per_task}', *shlex.split(args.srun_args or '')],
    )
    options = dict(program=PROGRAM, retry_failed=args.retry_failed, report=say)
    submit_plan(plan, executor, parallel, parameters, gpus, args.cpus_per_task, args.root.absolute(), **options)
    return 0 if executor == 'slurm' else summarize(plan)


def summarize(plan: Plan) -> int:
    """Print which runs are not done, and why, and how many have ended how; returns 1 if one has failed."""
    found = [(run, state_of(run)) for run in plan.runs]
    for run, state in found:
        if state.name != 'done':
            print(f'{run.name}: {state.name}' + (f' ({state.why})' if state.why else ''))
    states = [state.name for _, state in found]
    print(', '.join(f'{states.count(name)} {name}' for name in dict.fromkeys(states)))
    return int('failed' in states)


def _table(args: argparse.Namespace, plan: Plan) -> int:
    results = collect(plan)
    by_run = model_sizes(plan, args.root / COSTS)
    sizes = {name: by_run[next(reversed(chain.values())).hash] for (name, _), chain in plan.chains.items()}
    print(as_markdown(results, sizes))
    if args.into:
        chosen = dict(only=args.only, seeds=args.seeds)
        choice = ''.join(f' --{name} {shlex.quote(value)}' for name, value in chosen.items() if value)
        text = as_markdown(results, sizes, args.into.parent.absolute(), list_runs=False, choice=choice)
        insert(text, args.into, plan.study.name)
    if args.tensorboard:
        write_hparams(results, plan.folder / HPARAMS)
        print(f'tensorboard --logdir {plan.folder / HPARAMS}')
    if args.out:
        write_atomically(f'{args.out}.md', as_markdown(results, sizes, args.out.parent.absolute()) + '\n')
        write_atomically(f'{args.out}.csv', as_csv(results))
        write_atomically(f'{args.out}.json', as_json(results))
        draw_study(results, f'{args.out}.png')
    return 0


def _diff(args: argparse.Namespace, plan: Plan) -> int:
    if len(args.names) != 2:
        raise ValueError(
            f'diff needs two variants, and got {len(args.names)}: sapiens ablate STUDY diff VARIANT VARIANT'
        )
    rows = compare(plan, *args.names)
    table = PrettyTable(['stage', 'key', *args.names])
    table.align = 'l'
    table.add_rows([(stage, key, *(_shorten(value) for value in values)) for stage, key, *values in rows])
    print(table if rows else 'no difference')
    return 0


def _shorten(value) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 1]}…'


def _clean(args: argparse.Namespace, plan: Plan) -> int:
    """List what may go, and remove it with ``--yes``."""
    paths = list(superfluous(plan, args.checkpoints))
    for path in paths:
        print(path)
    if not paths:
        print('nothing to remove')
    elif args.yes:
        print(f'removed {sum(map(remove, paths)) / 2**20:.1f} MiB')
    else:
        print(f'{count_of(len(paths), "path")}; --yes removes them')
    return 0


RUN = dict(plan=_plan, run=_run, status=_status, table=_table, diff=_diff, clean=_clean)
"""What each action calls, with the arguments and the plan."""
