"""docs/reproduced.md: every published score has a row."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sapiens.checkpoints import ZOO
from sapiens.evaluation.reported import reported_names
from sapiens.registry import METRICS
from sapiens.reproduction import table
from sapiens.reproduction.protocols import PROTOCOLS, all_targets, find_targets
from sapiens.reproduction.table import Row, add_rows, blank, difference_of, read_rows, reproduced_text, rows_of
from sapiens.utils.config import find_config, load_config
from sapiens.utils.folder_lock import FolderLock

from ..known_data import miniatures

DOCUMENT = Path(__file__).parents[2] / 'docs/reproduced.md'


def test_the_document_has_every_score():
    """In the order of the zoo, with the published digits; a reproduced one has all cells."""
    rows = read_rows(DOCUMENT)
    wanted = [row for target in all_targets() for row in rows_of(target)]
    assert list(dict.fromkeys((*row.key, row.published) for row in rows)) == [
        (*row.key, row.published) for row in wanted
    ]
    for row in rows:
        cells = [row.reproduced, row.difference, row.versions, row.device, row.minutes, row.command]
        assert all(cells) or not any(cells), row
    text = DOCUMENT.read_text()
    assert all(f'- `{one.name}`: {one.notes}' in text for one in PROTOCOLS.values())


@pytest.mark.parametrize('target', all_targets(), ids=lambda target: target.name)
def test_every_score_has_a_config(target):
    assert find_targets(target.name) == [target] and target in find_targets(target.entry.name)
    assert find_config(target.config).parent.name == target.entry.task
    metrics = {name: 0.25 for score in target.scores for name in target.protocol.metrics_of(score)}
    assert set(target.values(metrics).values()) == {0.25 * target.protocol.scale}


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_every_score_is_reported_by_the_config(protocol, tmp_path):
    """Of the largest model of each protocol; with flip test for poses, as published."""
    target = [target for target in all_targets() if target.protocol.name == protocol][-1]
    cfg = load_config(target.config)
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    if target.entry.task == 'pose':
        assert cfg.model.test_cfg.flip_test is True
        (tmp_path / 'a.json').write_text(json.dumps(miniatures.people(['1.jpg'], cfg.skeleton)))
        evaluators[0].ann_file = str(tmp_path / 'a.json')
    reported = reported_names([METRICS.build(evaluators[0])])
    assert {name for score in target.scores for name in target.protocol.metrics_of(score)} <= set(reported)


def test_published_numbers_are_texts_with_their_digits():
    assert ZOO['sapiens2-pointmap-0.4b'].published == {'sapiens2-pointmap': {'L2': '0.190'}}
    for target in all_targets():
        assert all(number == f'{float(number):.{len(number.partition(".")[2])}f}' for number in target.scores.values())


@pytest.mark.parametrize(
    ('value', 'published', 'text', 'difference'),
    [
        (79.6449, '79.6', '79.645', '+0.045, equal'),
        (79.66, '79.6', '79.660', '+0.060'),
        (0.1904, '0.190', '0.19040', '+0.00040, equal'),
        (0.1906, '0.190', '0.19060', '+0.00060'),
        (11.84, '12.14', '11.8400', '-0.3000'),
    ],
)
def test_differences_are_judged_by_the_last_digit(value, published, text, difference):
    assert reproduced_text(value, published) == text and difference_of(value, published) == difference


def test_rows_fill_cells_and_follow_each_other(tmp_path):
    path = tmp_path / 'new/table.md'
    [target] = find_targets('sapiens-pose-0.3b-17')
    first, second = (
        Row(row.model, row.protocol, row.score, row.published, text, '+1', 'v', 'CPU', '2.0', '`x`')
        for row in rows_of(target)[:1]
        for text in ('80.6', '81.6')
    )
    add_rows(path, [first])
    before = read_rows(path)
    assert len(before) == len(read_rows(DOCUMENT)) and before.count(first) == 1
    add_rows(path, [second])
    rows = read_rows(path)
    assert rows[rows.index(first) + 1] == second and len(rows) == len(before) + 1
    own = Row('mine', 'coco', 'AP', '1.0', '2.0', '+1.0', 'v', 'CPU', '2.0', '`x`')
    add_rows(path, [own])
    assert read_rows(path)[-1] == own
    assert path.read_text().startswith(blank()[:60])
    (tmp_path / 'other.md').write_text('# Notes\n')
    with pytest.raises(ValueError, match='has no table with the columns model, protocol'):
        add_rows(tmp_path / 'other.md', [first])


def test_commands_that_end_at_the_same_time_keep_all_rows(tmp_path, monkeypatch):
    """Each reads the document before any of the others has written it, if they do not take turns."""
    path, target = tmp_path / 'table.md', next(iter(all_targets()))
    first = rows_of(target)[0]
    given = [replace(first, reproduced=str(number), device='cpu') for number in range(6)]
    write = table.write_atomically
    monkeypatch.setattr(table, 'write_atomically', lambda *content: (time.sleep(0.05), write(*content)))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda row: add_rows(path, [row]), given))
    found = [row.reproduced for row in read_rows(path) if row.key == first.key]
    assert sorted(found) == [str(number) for number in range(6)]
    assert [one.name for one in tmp_path.iterdir()] == ['table.md']
    # A command that does not end is waited for, and named.
    monkeypatch.setattr(table, 'PATIENCE', 0.2)
    with FolderLock(tmp_path / '.table.md.lock', ''), pytest.raises(ValueError, match='is in use by process'):
        add_rows(path, given)
