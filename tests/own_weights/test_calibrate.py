"""The default thresholds of boxes and keypoints are those with the best F1 on held-out people."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sapiens.checkpoints import ZOO
from sapiens.coco import BOX_THRESHOLD
from sapiens.own_weights import calibrate as module
from sapiens.own_weights.calibrate import best_factor, best_threshold, calibrate_boxes, calibrate_keypoints
from sapiens.utils.checkpoint import read_checkpoint

from .made import checkpoint

PERSON = ZOO['sapiens-tiny-person']


def f1(scores, hits, people, threshold):
    kept = scores >= threshold
    return 2 * hits[kept].sum() / (kept.sum() + people)


def test_no_other_threshold_has_a_higher_f1():
    generator = np.random.default_rng(0)
    for _ in range(20):
        hits = generator.random(40) < 0.5
        scores = np.round(np.clip(0.3 * hits + 0.6 * generator.random(40), 0.01, 1), 1)  # with ties
        found = best_threshold(scores, hits, 30)
        best = max(f1(scores, hits, 30, threshold) for threshold in np.linspace(0, 1, 201))
        assert f1(scores, hits, 30, found) == pytest.approx(best) and found not in scores
    assert best_threshold(np.array([0.5]), np.array([True]), 3) == pytest.approx((0.5 + module.LOWEST) / 2)
    for nothing in (np.zeros(0), np.array([0.5, 0.4])):
        assert best_threshold(nothing, np.zeros(len(nothing), bool), 3) is None


def test_one_number_of_the_weights_changes(tmp_path, monkeypatch):
    """Two people of three images are found with 0.2 and 0.1, other boxes have 0.05 or less."""
    boxes = [[10.0, 10, 30, 50], [20.0, 10, 40, 50]]
    found = {
        'a.jpg': ([boxes[0], [60.0, 60, 70, 70]], [0.2, 0.05]),
        'b.jpg': ([boxes[1]], [0.1]),
        'c.jpg': ([], []),
    }
    people = [
        dict(id=i, image_id=i, category_id=1, bbox=[x1, y1, x2 - x1, y2 - y1], area=800, iscrowd=0)
        for i, (x1, y1, x2, y2) in enumerate([*boxes, boxes[0]])
    ]
    content = dict(
        images=[dict(id=i, file_name=name, width=80, height=80) for i, name in enumerate(found)],
        annotations=people,
        categories=[dict(id=1, name='person')],
    )
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/person_keypoints.json').write_text(json.dumps(content))

    def load(config, path, device, box_threshold):
        assert (config, box_threshold) == (PERSON.config, module.LOWEST)
        return lambda path: SimpleNamespace(
            boxes=np.array(found[path.rpartition('/')[2]][0], np.float32).reshape(-1, 4),
            scores=np.array(found[path.rpartition('/')[2]][1], np.float32),
        )

    monkeypatch.setattr(module, 'load_model', load)
    given = checkpoint(PERSON.name, tmp_path)
    path, threshold = calibrate_boxes(given, PERSON, tmp_path, tmp_path / 'out.pth')
    assert threshold == pytest.approx(0.075)
    before, after = (read_checkpoint(one).state_dict for one in (given, path))
    assert before.keys() == after.keys()
    assert [key for key in before if not torch.equal(before[key], after[key])] == [module.CENTER]
    moved = after[module.CENTER] - before[module.CENTER]
    wanted = math.log(BOX_THRESHOLD / (1 - BOX_THRESHOLD)) - math.log(0.075 / 0.925)
    assert moved.tolist() == pytest.approx([wanted, 0, 0, 0, 0], abs=1e-5)
    found.update({name: ([], []) for name in found})
    assert calibrate_boxes(given, PERSON, tmp_path, tmp_path / 'out.pth') == (given, BOX_THRESHOLD)


def test_the_last_layer_is_scaled_until_the_threshold_is_the_best(tmp_path, monkeypatch):
    """Right keypoints have scores of a tenth of the scale of the layer and more, wrong ones less: 0.3 needs a factor of 3."""
    labels = [v for x in range(17) for v in (10.0 + x, 20.0, 2)]
    content = dict(
        images=[dict(id=1, file_name='a.jpg')],
        annotations=[dict(image_id=1, bbox=[5, 5, 40, 100], keypoints=labels, num_keypoints=17)],
    )
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/person_keypoints.json').write_text(json.dumps(content))
    layer = torch.nn.Conv2d(1, 17, 1)
    scale = layer.weight.detach().clone()
    quality = np.linspace(0.05, 0.15, 17)  # right from 0.1 on

    def model(path, boxes):
        assert path == str(tmp_path / 'a.jpg') and boxes.tolist() == [[5, 5, 45, 105]]
        factor = float((layer.weight / scale).mean())
        points = np.array(labels).reshape(17, 3)[None, :, :2] + np.where(quality >= 0.1, 9.0, 11.0)[:, None]
        points[..., 1] -= np.where(quality >= 0.1, 9.0, 11.0)
        return SimpleNamespace(keypoints=points, scores=(quality * factor)[None])

    model.network = SimpleNamespace(head=SimpleNamespace(final_layer=layer))
    monkeypatch.setattr(module, 'load_model', lambda *_, **__: model)
    entry = ZOO['sapiens-tiny-pose17']
    factor = best_factor(tmp_path / 'x.pth', entry, tmp_path)
    assert 0.3 / 0.1 * 0.95 < factor < 0.3 / 0.094 * 1.05
    given = checkpoint(entry.name, tmp_path)
    path, found = calibrate_keypoints(given, entry, tmp_path, tmp_path / 'out.pth', 1.5)
    before, after = (read_checkpoint(one).state_dict for one in (given, path))
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert found == 1.5 and changed and all(key.startswith(module.FINAL) for key in changed)
    assert all(torch.equal(before[key] * 1.5, after[key]) for key in changed)
    quality[:] = 0.01
    assert best_factor(tmp_path / 'x.pth', entry, tmp_path) == 1.0, 'no keypoint is right'
