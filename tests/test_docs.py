"""Documents: line lengths, and every link, path, command, flag and dotted name in them exists."""

import functools
import importlib
import itertools
import re
import subprocess
from pathlib import Path

import pytest

from sapiens.commands import COMMANDS

ROOT = Path(__file__).parents[1]
WIDTH = 130
NAMES = ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'data/README.md', 'configs/*/README.md', 'docs/**/*.md')
DOCUMENTS = sorted(path for name in NAMES for path in ROOT.glob(name))
# A document may shorten a path by these folders.
BASES = ('', 'sapiens', 'configs', 'configs/pose', 'configs/seg', 'configs/depth', 'configs/normal')
# Files that a guide tells its reader to write, and files of users.
EXAMPLES = (
    'configs/_base_/datasets/hands_and_feet.py',
    'configs/_base_/datasets/gear.py',
    'configs/shading/',
    'plugin/',
)
OUTPUTS = (
    'data/',
    'data03/',
    'work_dirs/',
    'people/',
    'scenes/',
    'new/',
    'my/',
    'checkpoints/',
    'vis_data/',
    'annotations/',
    'coco/',
)
SUFFIXES = '(?:py|sh|md|json|txt|toml|png|jpg)'


def documents(function):
    return pytest.mark.parametrize('path', DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))(function)


def expand(name):
    """Expand {a,b} as a shell does."""
    pieces = re.split(r'\{([^{}]*)\}', name)
    options = [piece.split(',') if index % 2 else [piece] for index, piece in enumerate(pieces)]
    return [''.join(parts) for parts in itertools.product(*options)]


def exists(name, document):
    """Whether a path, which may hold braces and wildcards, names something in the repository."""
    folders = [ROOT / base for base in BASES] + [document.parent]
    return all(any(any(folder.glob(each.rstrip('/'))) for folder in folders) for each in expand(name))


def blocks(text):
    return re.findall(r'```\w*\n(.*?)```', text, flags=re.S)


def spans(text):
    return re.findall(r'`([^`\n]+)`', re.sub(r'```.*?```', '', text, flags=re.S))


def slug(heading):
    return re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')


@documents
def test_lines_are_short(path):
    table_or_url = re.compile(r'^\s*\||https?://|^!?\[')
    lines = enumerate(path.read_text().splitlines(), 1)
    long = [n for n, line in lines if len(line) > WIDTH and not table_or_url.search(line)]
    assert not long, f'{path.name}: {long} are longer than {WIDTH} columns'


@documents
def test_relative_links_exist(path):
    for target in re.findall(r'\]\(([^)\s]+)\)', path.read_text()):
        if target.startswith(('http://', 'https://')):
            continue
        name, _, anchor = target.partition('#')
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f'{path.name} links to {target}, which does not exist'
        if anchor:
            headings = re.findall(r'^#+ (.*)$', file.read_text(), flags=re.M)
            assert anchor in map(slug, headings), f'{path.name} links to {target}: no such heading'


@documents
def test_paths_exist(path):
    text = path.read_text()
    named = re.compile(
        rf'[\w.*{{}},/-]+/[\w.*{{}},-]+\.{SUFFIXES}|(?:sapiens|tools|configs|docs|tests|requirements)/[\w./-]+'
    )
    for span in spans(text):
        if named.fullmatch(span) and not span.startswith(EXAMPLES + OUTPUTS):
            assert exists(span, path), f'{path.name} names `{span}`, which does not exist'
    for block in blocks(text):
        for name in re.findall(
            rf'(?<![\w/$.-])((?:tools|configs|sapiens|docs|tests|requirements)/[\w./{{}},*-]+\.{SUFFIXES})', block
        ):
            if not name.startswith(EXAMPLES):
                assert exists(name, path), f'{path.name} has a command with {name}, which does not exist'


@functools.cache
def source():
    """Text of everything that defines the flags of a command."""
    files = [*(ROOT / 'tools').rglob('*.*'), *(ROOT / 'sapiens').rglob('*.py')]
    return '\n'.join(file.read_text() for file in files if file.suffix in ('.py', '.sh'))


def commands(text):
    """Lines of the document that run a command of this package: (name of the command or None for a script, line)."""
    lines = itertools.chain.from_iterable(block.replace('\\\n', ' ').splitlines() for block in blocks(text))
    for line in [*spans(text), *lines]:
        found = re.match(r'\s*(?:[A-Z_]+=\S+ )*sapiens ([a-z]+)', line)
        if found or re.search(r'(?:^|\s)(?:python|bash) tools/', line):
            yield found and found.group(1), line.split(' #')[0]


@documents
def test_commands_exist(path):
    text = path.read_text()
    targets = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), flags=re.M)
    for target in re.findall(r'(?:^|`)make (?!PYTHON)([a-z-]+)', text, flags=re.M):
        assert target in targets, f'{path.name} names make {target}'
    for command, line in commands(text):
        assert command is None or command in COMMANDS, f'{path.name}: sapiens has no command {command}: {line}'
        for flag in re.findall(r'(?<=\s)--[a-z][a-z0-9-]*', line):
            known = f"'{flag}'" in source() or f"'--{flag.removeprefix('--no-')}'" in source() or flag == '--help'
            assert known or flag in ('--resume',), f'{path.name}: no command has the flag {flag}: {line}'


@documents
def test_dotted_names_import(path):
    text = path.read_text()
    names = [span.split('(')[0] for span in spans(text) if re.match(r'sapiens(\.\w+)+', span)]
    for module, imported in re.findall(r'^from (sapiens[\w.]*) import ([\w, ]+)', text, flags=re.M):
        names += [f'{module}.{name.strip()}' for name in imported.split(',')]
    for name in names:
        if name.endswith(('.json', '.pth')):
            continue
        module, _, attribute = name.rpartition('.')
        found = hasattr(importlib.import_module(module), attribute) if module else True
        assert found or importlib.util.find_spec(name), f'{path.name} names {name}, which does not exist'


def test_no_tracked_document_is_forgotten():
    tracked = subprocess.run(['git', 'ls-files', '*.md'], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if tracked:
        assert {ROOT / name for name in tracked if not name.startswith('tests/')} <= set(DOCUMENTS)
