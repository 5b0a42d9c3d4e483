"""Plans of batch jobs, masks of people, and workers."""

import cv2
import numpy as np
import pytest

from sapiens.apis import DepthResult, PoseResult, SegResult, batch_job
from sapiens.apis.batch_job import Outcome, Plan, run_plan
from sapiens.apis.inputs import Item
from sapiens.apis.masks import read_mask, set_masks
from sapiens.apis.results import Saving
from sapiens.metainfo import get_classes

from .tiny import picture

ITEMS = [Item(f'{name}.jpg', name) for name in 'abcde']


def test_where_results_lie_and_when_an_image_is_done(tmp_path):
    plan = Plan(dict(pose={}, seg={}), tmp_path, Saving(kinds=('json', 'face', 'mask')))
    assert plan.stem('pose', 'x/a') == tmp_path / 'x/a'
    (tmp_path / 'a.json').write_text('{}')
    assert not plan.is_done('a')
    np.save(tmp_path / 'a.npy', np.ones((2, 2)))
    assert plan.is_done('a'), 'some images have no face'
    assert not plan.is_done('b')
    hidden = Plan(dict(pose={}, seg={}), tmp_path, Saving(), subfolders=True, hidden=('seg',))
    assert hidden.written() == ['pose'] and hidden.stem('pose', 'a') == tmp_path / 'pose/a'
    assert not hidden.is_done('a')
    for suffix, content in dict(json=b'{}', jpg=b'\xff\xd9').items():
        (tmp_path / 'pose').mkdir(exist_ok=True)
        (tmp_path / f'pose/a.{suffix}').write_bytes(content)
    assert hidden.is_done('a')
    for path in (tmp_path / 'pose').iterdir():
        content = path.read_bytes()
        for damaged in (b'', content[:-1]):
            path.write_bytes(damaged)
            assert not hidden.is_done('a')
        path.write_bytes(content)
    assert hidden.is_done('a')


def test_masks_of_files(tmp_path):
    size = (2, 3)
    assert read_mask(tmp_path / 'a', size) is None
    cv2.imwrite(str(tmp_path / 'a.png'), np.array([[0, 127, 128], [1, 255, 0]], np.uint8))
    assert read_mask(tmp_path / 'a', size).tolist() == [[False, False, True], [False, True, False]]
    np.save(tmp_path / 'a.npy', np.array([[0, 1, 2], [0.5, -1, 0]]))
    assert read_mask(tmp_path / 'a', size).tolist() == [[False, True, True], [True, False, False]]
    with pytest.raises(ValueError, match=r'a\.npy is 2 x 3, the image 3 x 2 \(H x W\)'):
        read_mask(tmp_path / 'a', (3, 2))
    (tmp_path / 'b.v1.png').write_bytes(b'nothing')
    with pytest.raises(ValueError, match=r'b\.v1\.png cannot be read: not a readable image \(7 bytes\)'):
        read_mask(tmp_path / 'b.v1', size)


def test_masks_of_results(tmp_path):
    image, labels = picture((4, 6)), np.zeros((4, 6), np.uint8)
    labels[1:3] = 5
    depth, seg = (
        DepthResult(image, depth=np.ones((4, 6), np.float32)),
        SegResult(image, '', labels, get_classes('goliath28')),
    )
    for results in (dict(depth=depth, seg=seg), dict(seg=seg, depth=depth)):
        depth.mask = None
        set_masks(results)
        np.testing.assert_array_equal(depth.mask, labels > 0)
    np.save(tmp_path / 'a.npy', labels == 0)
    set_masks(dict(seg=seg, depth=depth), tmp_path / 'a')
    np.testing.assert_array_equal(depth.mask, labels == 0)
    set_masks(dict(seg=seg, depth=depth), tmp_path / 'none')
    assert depth.mask is None
    np.save(tmp_path / 'wrong.npy', labels[:2])
    set_masks(dict(pose=PoseResult(image)), tmp_path / 'wrong')  # not read: nothing is masked
    with pytest.raises(ValueError, match='2 x 6, the image 4 x 6'):
        set_masks(dict(depth=depth), tmp_path / 'wrong')


def test_workers_of_devices(monkeypatch, tmp_path):
    """Several workers are processes, one works here. There are no more workers than images."""
    calls = []
    monkeypatch.setattr(batch_job, 'work', lambda plan, *rest: calls.append(rest) or iter([Outcome(ITEMS[0])]))
    monkeypatch.setattr(batch_job, '_distribute', lambda plan, *rest: calls.append(rest) or iter([]))
    plan, loaded = Plan({}, tmp_path, Saving()), {}
    assert list(run_plan(plan, [])) == [] and calls == []
    assert list(run_plan(plan, ITEMS, loaded=loaded)) == [Outcome(ITEMS[0])]
    device, given, models = calls.pop()
    assert device == 'auto' and list(given) == ITEMS and models is loaded
    assert list(run_plan(plan, ITEMS, ['cuda:0', 'cuda:1'], 2)) == []
    assert list(run_plan(plan, tuple(ITEMS[:3]), ['cuda:0', 'cpu'], 2)) == []
    assert calls == [(ITEMS, ['cuda:0'] * 2 + ['cuda:1'] * 2), (ITEMS[:3], ['cuda:0', 'cuda:0', 'cpu'])]


def test_results_that_cannot_be_written_fail_alone(monkeypatch, tmp_path):
    class Jobs:
        def __init__(self, item, error=''):
            self.item, self.error = item, error

    def save(plan, job):
        if job.item.name in 'bd':
            raise (OSError if job.item.name == 'b' else ValueError)('no room')

    seen = {}
    monkeypatch.setattr(Plan, 'load', lambda plan, device, loaded: ({}, 'cleaner'))
    monkeypatch.setattr(batch_job, 'save', save)
    monkeypatch.setattr(
        batch_job, 'run', lambda predictors, items, **options: seen.update(options) or
        [Jobs(item, 'broken' if item.name == 'c' else '') for item in items],
    )  # fmt: skip
    outcomes = {
        outcome.item.name: outcome.error for outcome in run_plan(Plan({}, tmp_path, Saving(), workers=5), ITEMS)
    }
    assert outcomes == dict(a='', b='OSError: no room', c='broken', d='ValueError: no room', e='')
    assert seen == dict(detector='cleaner', boxes_of=None, workers=5)
    (tmp_path / 'boxes.json').write_text('[]')
    list(run_plan(Plan({}, tmp_path, Saving(), boxes=str(tmp_path / 'boxes.json')), ITEMS))
    assert seen['detector'] is None and seen['boxes_of'].detector == 'cleaner' and seen['workers'] == 2


def test_few_results_wait_in_memory(monkeypatch, tmp_path):
    """Reading waits for writing: five images may be between the model and their files."""
    monkeypatch.setattr(Plan, 'load', lambda plan, device, loaded: ({}, None))
    saved, most = [], []

    def save(plan, job):
        saved.append(job.item)

    def run(predictors, items, **options):
        for number, item in enumerate(items):
            most.append(number - len(saved))
            yield type('Job', (), dict(item=item, error=''))()

    monkeypatch.setattr(batch_job, 'save', save)
    monkeypatch.setattr(batch_job, 'run', run)
    items = [Item(str(number), str(number)) for number in range(200)]
    assert [outcome.item for outcome in run_plan(Plan({}, tmp_path, Saving()), items)] == items
    assert max(most) <= 5
