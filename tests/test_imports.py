"""Imports inside the package go one way (CONTRIBUTING.md), there are no circles between files, and importing is cheap."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the top down: a part imports from lower floors and from itself. Parts of one floor never import each other, except on
# the floor of plain modules.
FLOORS = [
    {'commands'},
    {'curation', 'own_weights', 'reproduction', 'studies'},
    {'apis', 'engine', 'known_data', 'own_data'},
    {'checkpoints'},
    {'models', 'datasets', 'evaluation'},
    {'visualization', 'synthetic'},
    {'tasks', 'coco', 'frames', 'structures', 'metainfo', 'registry', 'utils', 'bulk', 'weights'},
    {'compat', 'version'},
]
PLAIN = FLOORS[-2]


def floor(part):
    return next(index for index, parts in enumerate(FLOORS) if part in parts)


def imports_of(source, package):
    """Absolute names that a file imports, at any depth, except under ``if TYPE_CHECKING``.

    Args:
        source: text of the file.
        package: dotted name of the package that the file lies in.
    """
    pending = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
            module = '.'.join([*parents, *([node.module] if node.module else [])])
            yield from (f'{module}.{alias.name}' for alias in node.names)


@functools.cache
def modules():
    """Every module of the package by its dotted name."""
    paths = sorted((ROOT / 'sapiens').rglob('*.py'))
    return {'.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path for path in paths}


@functools.cache
def edges(name):
    """Modules of the package that one of them imports. A name from a package counts for the file that defines it where that is a
    module, else for the package."""
    path = modules()[name]
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    found = set()
    for target in imports_of(path.read_text(), package):
        while target and target not in modules():
            target = target.rpartition('.')[0]
        if target.startswith('sapiens.'):
            found.add(target)
    return found - {name}


FILES = sorted(name for name in modules() if name != 'sapiens')


@pytest.mark.parametrize('name', FILES)
def test_dependency_direction(name):
    own = name.split('.')[1]
    for target in edges(name):
        part = target.split('.')[1]
        if part == own or {part, own} <= PLAIN:
            continue
        assert floor(part) > floor(own), f'{name} imports {target}, which is on the same floor or above'


def circles(graph):
    """Groups of nodes that reach each other (Tarjan's strongly connected components of more than one node)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_no_circles_between_files():
    # A package's __init__ collects names from its own files; a file below it may not import from it.
    assert circles({name: sorted(edges(name)) for name in FILES}) == []


def test_the_rules_see_violations():
    assert floor('models') > floor('checkpoints') > floor('apis') > floor('commands')
    assert circles({'a': ['b'], 'b': ['c'], 'c': ['b'], 'd': []}) == [['b', 'c']]
    hidden = (
        'from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .x import y\ndef f():\n    from ..z import w\n'
    )
    assert sorted(imports_of(hidden, 'sapiens.apis')) == ['sapiens.z.w', 'typing.TYPE_CHECKING']


def test_only_the_data_set_imports_the_generator():
    users = {name for name in FILES if any(target.startswith('sapiens.synthetic') for target in edges(name))}
    assert {name for name in users if name.split('.')[1] not in ('synthetic', 'commands')} <= {
        'sapiens.datasets.synthetic_humans'
    }


def test_importing_the_engine_does_not_import_the_generator():
    code = 'import sys, sapiens.engine; sys.exit(any(name.startswith("sapiens.synthetic") for name in sys.modules))'
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True, cwd=ROOT)


def test_import_is_cheap_and_without_the_heavy_libraries():
    code = (
        'import sys, sapiens; '
        'heavy = {"mmpose", "mmseg", "mmpretrain", "mmcv", "timm", "cv2", "matplotlib", "transformers"} & set(sys.modules); '
        'sys.exit(f"imported {heavy}" if heavy else 0)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_core_needs_none_of_the_packages_that_do_not_install():
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("mmdet", "chumpy") or name.startswith(("mmdet.", "chumpy.", "mmcv.ops", "mmcv._ext")):
            raise ImportError(f"{name} must not be needed")
sys.meta_path.insert(0, Refuse())
import sapiens, sapiens.models, sapiens.datasets, sapiens.evaluation, sapiens.engine, sapiens.apis, sapiens.visualization
assert not {"xtcocotools", "mmdet", "chumpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True, cwd=ROOT)
