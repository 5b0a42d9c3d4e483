"""Dependencies between the parts of the package go one way (CONTRIBUTING.md), and importing it is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the top down: a part may use parts of lower layers, and itself. Parts of one layer never use each other.
LAYERS = [
    {'apis', 'engine'},
    {'models', 'datasets', 'evaluation'},
    {'visualization', 'synthetic'},
    {'structures', 'metainfo', 'registry', 'utils'},
    {'compat', 'memory', 'version'},
]
# Inside the second lowest layer the plain modules may use each other.
FREE = LAYERS[3]


def rank(part):
    return next(index for index, layer in enumerate(LAYERS) if part in layer)


def imported_parts(path):
    """Parts of the package that a file imports, at any depth of the file."""
    package = path.relative_to(ROOT).with_suffix('').parts
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = '.'.join(package[: len(package) - node.level]) if node.level else ''
            module = '.'.join(filter(None, [base, node.module]))
            names = [f'{module}.{alias.name}' if module == 'sapiens' else module for alias in node.names]
        for name in names:
            parts = name.split('.')
            if parts[0] == 'sapiens' and len(parts) > 1:
                yield parts[1]


FILES = sorted((ROOT / 'sapiens').rglob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dependency_direction(path):
    relative = path.relative_to(ROOT / 'sapiens')
    own = relative.parts[0].removesuffix('.py')
    if own == '__init__':
        return
    for part in set(imported_parts(path)) - {own}:
        if part in ('__version__',) or (own in FREE and part in FREE):
            continue
        assert rank(part) > rank(own), f'{relative} uses sapiens.{part}, which stands beside or above it'


def test_the_rule_sees_a_violation(tmp_path):
    file = ROOT / 'sapiens' / 'models' / 'mae.py'
    assert 'structures' in set(imported_parts(file)) and 'registry' in set(imported_parts(file))
    assert rank('datasets') == rank('models') and not rank('datasets') > rank('models')


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
