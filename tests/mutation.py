"""Mutation testing: puts small faults into a copy of the package, one at a time, and counts those that no test finds.

    python tests/mutation.py work_dirs/mutation --count 50 --seed 0 --jobs 2

Faults are drawn from all folders of sapiens/ in proportion to their lines, all kinds alike: comparisons, arithmetic, conditions,
constants, defaults, removed statements, swapped arguments, opposite functions (min and max). For each it runs the test files that
have the file's name, mention its public names, or lie in the folder of the same name, in this order, until a test fails that
passes without the fault.

FOLDER keeps faults (mutants.json) and outcomes (results.jsonl): the same command continues an interrupted run. A survivor is a
missing test or a change without effect. List the latter in the file --equivalent, one "ID REASON" a line; they do not count.
"""

import argparse
import ast
import concurrent.futures
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPERATORS = {'Lt': ast.LtE, 'LtE': ast.Lt, 'Gt': ast.GtE, 'GtE': ast.Gt, 'Eq': ast.NotEq, 'NotEq': ast.Eq, 'In': ast.NotIn,
             'NotIn': ast.In, 'Is': ast.IsNot, 'IsNot': ast.Is, 'Add': ast.Sub, 'Sub': ast.Add, 'Mult': ast.Div, 'Div': ast.Mult,
             'FloorDiv': ast.Mult, 'Mod': ast.FloorDiv, 'Pow': ast.Mult, 'And': ast.Or, 'Or': ast.And}  # fmt: skip
PAIRS = 'min max|floor ceil|any all|amin amax|minimum maximum|argmin argmax|rstrip lstrip|startswith endswith'
OPPOSITE = {name: other for pair in PAIRS.split('|') for name, other in (pair.split(), pair.split()[::-1])}


def changed(node, **fields):
    return type(node)(**{name: getattr(node, name) for name in node._fields} | fields)


def faults_of(node):
    """Kinds and replacements (syntax or text) of one node."""
    swapped = OPERATORS.get(type(getattr(node, 'op', None)).__name__)
    match node:
        case ast.Compare(ops=[op]):
            yield 'comparison', changed(node, ops=[OPERATORS[type(op).__name__]()])
        case ast.BinOp(left=left, right=right) if swapped:
            if not any(isinstance(getattr(side, 'value', side), str | ast.List) for side in (left, right)):
                yield 'arithmetic', changed(node, op=swapped())
        case ast.BoolOp():
            yield 'condition', changed(node, op=swapped())
        case ast.UnaryOp(op=ast.Not()):
            yield 'condition', node.operand
        case ast.Constant(value=bool() | int() | float() as value):
            new = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value * 2 or 1.0
            yield 'constant', repr(new)
        case ast.Call(args=[first, second, *rest]) if not isinstance(first, ast.Starred):
            yield 'arguments', changed(node, args=[second, first, *rest])
        case ast.Name(id=name) if name in OPPOSITE:
            yield 'opposite', OPPOSITE[name]
        case ast.Attribute(attr=name) if name in OPPOSITE:
            yield 'opposite', changed(node, attr=OPPOSITE[name])
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield 'removed', 'pass'


def find_faults(source: str):
    """Yields (kind, line, old, new): the number of the first line that a fault changes, and its lines before and after."""
    lines = source.encode().split(b'\n')  # columns of ast count bytes

    def written(kind, node, new):
        first, last = lines[node.lineno - 1][: node.col_offset], lines[node.end_lineno - 1][node.end_col_offset :]
        new = new if isinstance(new, str) else f'({ast.unparse(new)})'
        old = b'\n'.join(lines[node.lineno - 1 : node.end_lineno]).decode()
        return kind, node.lineno, old, first.decode() + new + last.decode()

    def walk(node, default=False):
        for kind, new in faults_of(node):
            yield written('default' if default else kind, node, new)
        for name, value in () if isinstance(node, ast.Raise | ast.JoinedStr) else ast.iter_fields(node):  # no messages
            for child in value if isinstance(value, list) else [value]:
                if name == 'test' and isinstance(child, ast.Name | ast.Attribute | ast.Call):
                    yield written('condition', child, ast.UnaryOp(ast.Not(), child))
                if getattr(child, 'arg', '') == 'strict':  # zip(..., strict=...) asserts what holds
                    continue
                if isinstance(child, ast.AST) and name not in ('annotation', 'returns', 'decorator_list'):
                    yield from walk(child, default or name in ('defaults', 'kw_defaults'))

    return walk(ast.parse(source))


def list_files(folder: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob('*.py'))


def draw(count: int, seed: int) -> list[dict]:
    rng, sites, lines = random.Random(seed), defaultdict(lambda: defaultdict(list)), Counter()
    for name in list_files('sapiens'):
        folder, source = name.split('/')[1], (ROOT / name).read_text()
        lines[folder] += source.count('\n')
        for kind, *rest in find_faults(source):
            sites[folder][kind].append((name, kind, *rest))
    ends, drawn = [round(count * end / lines.total()) for end in accumulate(lines.values())], []
    for folder, start, end in zip(lines, [0, *ends], ends, strict=False):
        for _ in range(start, end):
            found = sites[folder][rng.choice(sorted(kind for kind, some in sites[folder].items() if some))]
            drawn.append(found.pop(rng.randrange(len(found))))
    keys = 'id', 'file', 'kind', 'line', 'old', 'new'
    return [dict(zip(keys, (sha256(repr(one).encode()).hexdigest()[:8], *one), strict=True)) for one in drawn]


def mutate(source: str, fault: dict) -> str | None:
    """The source with the fault, or None where the lines that it changes are no longer there."""
    places = [match.start() for match in re.finditer(rf'^{re.escape(fault["old"])}$', source, re.MULTILINE)]
    start = min(places, key=lambda place: abs(source.count('\n', 0, place) + 1 - fault['line']), default=None)
    return None if start is None else source[:start] + fault['new'] + source[start + len(fault['old']) :]


def find_tests(file: str, limit: int) -> list[str]:
    listed = re.search(r'^__all__ = (\[.*?\])', (ROOT / file).read_text(), re.MULTILINE | re.DOTALL)
    names = [file.removesuffix('.py').replace('/', '.'), *(ast.literal_eval(listed[1]) if listed else ())]
    pattern, near = re.compile(rf'\b({"|".join(map(re.escape, names))})\b'), {}
    for test in (test for test in list_files('tests') if '/test_' in test):
        folder = test.split('/')[1].removeprefix('test_').replace('integration', 'commands')
        text, own = (ROOT / test).read_text(), folder == file.split('/')[1]
        reasons = own and f'/test_{Path(file).name}' in test, bool(pattern.search(text)), own
        if any(reasons):
            near[test] = reasons.index(True), not own, len(text)
    return sorted(near, key=near.get)[:limit]


def run_tests(tree: Path, tests: list[str], limit: int) -> str:
    """The first test that fails, or nothing."""
    env = dict(os.environ, PYTHONPATH=str(tree), OMP_NUM_THREADS='1', PYTHONDONTWRITEBYTECODE='1')
    command = f'ulimit -t {limit}; exec "$@"', '', sys.executable, '-m', 'pytest', '-qx', '--tb=no', '-rfE', *tests
    ran = subprocess.run(['bash', '-c', *command], cwd=tree, env=env, capture_output=True, text=True)
    failed = re.search(r'^(?:FAILED|ERROR) (.*?)(?: - .*)?$', ran.stdout, re.MULTILINE)
    passed = ran.returncode in (0, 5)  # 5: all tests are slow ones
    return '' if passed else failed[1] if failed else f'exit code {ran.returncode}'


def examine(fault: dict, tests: list[str], folder: Path, limit: int) -> dict:
    tree = folder / str(os.getpid())
    if not tree.exists():
        tree.mkdir()
        copy = f'git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t {tree}'
        subprocess.run(copy, shell=True, cwd=ROOT, stderr=subprocess.DEVNULL)
    path = tree / fault['file']
    before = path.read_text() if path.exists() else ''
    if (after := mutate(before, fault)) is None:
        return fault | dict(outcome='gone', by='')
    path.write_text(after)
    by = run_tests(tree, tests, limit) if tests else ''
    path.write_text(before)
    if '::' in by and run_tests(tree, [by], limit):
        return fault | dict(outcome='unknown', by=f'{by} fails without the fault')
    return fault | dict(outcome='killed' if by else 'survived', by=by)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='faults and outcomes')
    parser.add_argument('--count', type=int, default=50, help='faults to draw (default 50)')
    parser.add_argument('--seed', type=int, default=0, help='of the draw (default 0)')
    parser.add_argument('--jobs', type=int, default=1, help='faults examined at the same time (default 1)')
    parser.add_argument('--files', type=int, default=24, help='most test files for one fault (default 24)')
    parser.add_argument('--limit', type=int, default=600, help='CPU seconds for a fault; more counts as killed')
    parser.add_argument('--equivalent', type=Path, help='file of the survivors without an effect')
    parser.add_argument('--again', action='store_true', help='examine survivors again')
    args = parser.parse_args()

    args.folder.mkdir(parents=True, exist_ok=True)
    drawn, done = args.folder / 'mutants.json', args.folder / 'results.jsonl'
    if not drawn.exists():
        drawn.write_text(json.dumps(draw(args.count, args.seed), indent=1))
    results = {row['id']: row for row in map(json.loads, done.read_text().splitlines() if done.exists() else [])}
    equivalent = dict(
        re.findall(r'^(\w+) (.+)$', args.equivalent.read_text() if args.equivalent else '', re.MULTILINE)
    )
    closed = {one for one, row in results.items() if row['outcome'] == 'killed' or not args.again} | set(equivalent)
    todo = [one for one in json.loads(drawn.read_text()) if one['id'] not in closed]
    tests = {file: find_tests(file, args.files) for file in {one['file'] for one in todo} & set(list_files('sapiens'))}
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(examine, one, tests.get(one['file'], []), Path(scratch), args.limit) for one in todo]
        for job in concurrent.futures.as_completed(jobs):
            result = job.result()
            results[result['id']] = result
            with done.open('a') as file:
                file.write(json.dumps(result) + '\n')
            print(result['id'], result['outcome'], f'{result["file"]}:{result["line"]}', result['by'], flush=True)
    for one in results.values():
        one['outcome'] = 'equivalent' if one['outcome'] == 'survived' and one['id'] in equivalent else one['outcome']
        if one['outcome'] != 'killed':
            print(one['id'], one['outcome'], f'{one["file"]}:{one["line"]}', equivalent.get(one['id'], one['by']))
            print(f'  - {one["old"]}\n  + {one["new"]}')
    count = Counter(one['outcome'] for one in results.values())
    print(dict(count), f'{count["survived"] / max(count["survived"] + count["killed"], 1):.1%} survived')


if __name__ == '__main__':
    main()
