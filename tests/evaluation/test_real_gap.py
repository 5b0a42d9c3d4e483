"""Tables of tools/benchmark/real.py: the gap between rendered people and photographs."""

import importlib

import numpy as np
import pytest


@pytest.fixture
def real(monkeypatch):
    monkeypatch.syspath_prepend('tools/benchmark')
    return importlib.import_module('real')


def test_the_gap_is_the_difference_of_scores_on_both(real):
    tables = {name: {} for name in ('pose', 'seg', 'depth', 'normal', 'detector', 'milliseconds')}
    tables['pose']['a', 'photographs'] = {'all: AP': 0.1, 'all: PCK@0.1': 0.4, 'all: people': 155}
    tables['pose']['a', 'rendered'] = {'all: AP': 0.4, 'all: PCK@0.1': 0.8, 'all: people': 250}
    tables['seg']['b', 'photographs'] = {'person IoU': 0.5, 'people': 3}
    tables['normal']['c', 'rendered'] = {'mean angle': 20.0}
    rows = real.gap(tables)
    assert rows.keys() == {('a', 'all: AP'), ('a', 'all: PCK@0.1')}, 'a score on one kind of pictures has no gap'
    assert rows['a', 'all: AP'] == {'rendered': 0.4, 'photographs': 0.1, 'gap': pytest.approx(0.3)}


def test_normals_and_depth_of_rendered_people(real, monkeypatch):
    truth = np.zeros((4, 5, 3), np.float32)
    truth[..., 2] = 1
    turned = np.float32([np.sin(0.5), 0, np.cos(0.5)])
    valid = np.zeros((4, 5), bool)
    valid[1:3, 1:4] = True
    depth = np.arange(20, dtype=np.float32).reshape(4, 5)

    def samples(folder, field):
        yield np.zeros((4, 5, 3), np.uint8), truth if field == 'normal' else depth, valid

    monkeypatch.setattr(real, 'rendered_samples', samples)

    class Model:
        def __init__(self, sign):
            self.sign = sign

        def __call__(self, image):
            normals = np.where(valid[..., None], turned, -truth)
            return type('Result', (), dict(normals=normals, depth=self.sign * depth))

    row = real.score_normals('x', Model(1))
    assert (
        row['mean angle'] == pytest.approx(np.degrees(0.5), abs=1e-3) and row['within 30'] == 1 and row['pixels'] == 6
    )
    assert real.score_rendered_depth('x', Model(1), pairs=5) == {'pairs in order': 1.0, 'pairs': 5}
    assert real.score_rendered_depth('x', Model(-1), pairs=5) == {'pairs in order': 0.0, 'pairs': 5}


def test_tables_in_a_document(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend('tools/benchmark')
    tables = importlib.import_module('real_tables')
    document = tmp_path / 'page.md'
    document.write_text('a\n<!-- begin of seg -->\nold\n<!-- end of seg -->\nb\n')
    rows = {('m', 'photographs'): {'person IoU': 0.51234, 'people': 3}, ('n', 'rendered'): {'person IoU': 0.7}}
    tables.into_document({'seg': rows, 'pose': {}}, document)
    text = document.read_text()
    assert text.startswith('a\n<!-- begin of seg -->\n\n|') and text.endswith('|\n\n<!-- end of seg -->\nb\n')
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    assert cells[0] == ['seg', 'pictures', 'person IoU', 'people'] and cells[2] == ['m', 'photographs', '0.512', '3']
    assert cells[3] == ['n', 'rendered', '0.700', '']
    assert tables.as_rows('seg', rows)[1] == {'model': 'n', 'pictures': 'rendered', 'person IoU': 0.7}
    both = {('m', 'person IoU'): {'rendered': 0.75, 'photographs': 0.5, 'gap': 0.25}}
    assert tables.table('gap', both, is_markdown=True).splitlines()[0].split() == [
        '|',
        'model',
        '|',
        'score',
        '|',
        'rendered',
        '|',
        'photographs',
        '|',
        'gap',
        '|',
    ]
    with pytest.raises(ValueError, match='begin of pose'):
        tables.into_document({'pose': rows}, document)
