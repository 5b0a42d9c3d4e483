"""Every number equals that of mmpose's metrics on the real xtcocotools."""

import json
import os
import pickle
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

from sapiens.evaluation import KeypointMetric
from sapiens.evaluation.oks_average import STATISTICS
from sapiens.metainfo import build_metainfo, get_skeleton

from .people import OWN, annotations, evaluate, perfect, perturbed, write

DATA = os.environ.get('SAPIENS_TEST_DATA')
SKELETONS = {'coco17': 'coco17', 'wholebody133': 'wholebody133', 'own': OWN}
PHOTOGRAPHS = {'coco17': 'person_keypoints_val2017.json', 'wholebody133': 'coco_wholebody_val_v1.0.json'}

GROUPS = {
    'keypoints': 'whole',
    'keypoints_body': 'body',
    'keypoints_foot': 'foot',
    'keypoints_face': 'face',
    'keypoints_lefthand': 'left_hand',
    'keypoints_righthand': 'right_hand',
    'keypoints_wholebody': 'whole',
}
# name: (how people are annotated, how they are predicted, our options, mmpose's)
CASES = {
    'perfect': (dict(), None, {}, {}),
    'noisy': (dict(crowds=False, unlabelled=False), dict(), {}, {}),
    'missed': (dict(), dict(missed=0.4), {}, {}),
    'false': (dict(), dict(false=3), {}, {}),
    'doubled': (dict(), dict(doubled=0.7, missed=0.1, false=1), {}, {}),
    'crops': (dict(), dict(doubled=1, false=1, crops=True), {}, {}),
    'no_nms': (dict(), dict(doubled=0.7, false=2), dict(nms='none'), dict(nms_mode='none')),
    'loose_nms': (dict(), dict(doubled=1, seed=3), dict(nms_thr=0.5), dict(nms_thr=0.5)),
    'threshold': (dict(), dict(false=1), dict(keypoint_score_thr=0.7), dict(keypoint_score_thr=0.7)),
    'many': (dict(images=4, people=12), dict(false=25, doubled=0.5), {}, {}),
    'box_area': (dict(), dict(false=2, missed=0.2), dict(use_area=False), dict(use_area=False)),
    'other_seed': (dict(seed=5, images=14), dict(seed=6, false=2, missed=0.2, doubled=0.3), {}, {}),
}
PAIRS = [(kind, case) for kind in SKELETONS for case in CASES] + [(kind, 'photographs') for kind in PHOTOGRAPHS]


def _scenario(skeleton, name, folder):
    how, predicted, _, theirs = CASES.get(name, ({}, dict(false=1, missed=0.2, doubled=0.5, crops=True), {}, {}))
    if name == 'photographs':
        data = json.loads((Path(DATA) / 'coco/annotations' / PHOTOGRAPHS[skeleton]).read_text())
    else:
        data = annotations(skeleton, **how)
    samples = perfect(data, skeleton) if predicted is None else perturbed(data, skeleton, **predicted)
    if predicted is not None:
        samples.append(samples[0])  # what padding of distributed loaders leaves
    for sample in samples:
        sample['pred_instances']['keypoints'].setflags(write=False)
    skeleton = get_skeleton(skeleton)
    return dict(
        ann_file=write(folder / f'{skeleton.name}_{name}.json', data),
        samples=samples,
        wholebody=len(skeleton) == 133,
        metainfo=build_metainfo(skeleton) | dict(num_keypoints=len(skeleton), sigmas=skeleton.sigmas),
        options=theirs,
    )


@pytest.fixture(scope='module')
def scenarios(tmp_path_factory):
    folder = tmp_path_factory.mktemp('parity')
    return {
        f'{kind} {case}': _scenario(SKELETONS[kind], case, folder)
        for kind, case in PAIRS
        if DATA or case != 'photographs'
    }


@pytest.fixture(scope='module')
def answers(scenarios, tmp_path_factory):
    """{case: {what xtcocotools calls the part: its ten numbers}}."""
    try:
        distribution('xtcocotools')
    except PackageNotFoundError:
        pytest.skip(
            'xtcocotools is not installed (requirements/tests.txt; it has wheels for Python 3.10 and 3.11 only)'
        )
    folder = tmp_path_factory.mktemp('judge')
    (folder / 'scenarios.pkl').write_bytes(pickle.dumps(scenarios))
    command = [sys.executable, '-W', 'ignore', Path(__file__).with_name('judge.py'), 'scenarios.pkl', 'answers.json']
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=dict(os.environ))
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads((folder / 'answers.json').read_text())


@pytest.mark.parametrize(('kind', 'case'), PAIRS)
def test_numbers_equal_those_of_mmpose(kind, case, scenarios, answers, monkeypatch):
    if f'{kind} {case}' not in scenarios:
        pytest.skip('needs annotated photographs in SAPIENS_TEST_DATA')
    scenario = scenarios[f'{kind} {case}']
    tables = []
    monkeypatch.setattr(KeypointMetric, '_report', lambda self, numbers, detections: tables.append(numbers))
    options = CASES[case][2] if case in CASES else {}
    metric = KeypointMetric(SKELETONS[kind], scenario['ann_file'], **options)
    metrics = evaluate(metric, scenario['samples'])
    expected = {GROUPS[part]: numbers for part, numbers in answers[f'{kind} {case}'].items()}
    assert tables[0].keys() == expected.keys() and len(expected) == (6 if kind == 'wholebody133' else 1)
    for group, numbers in expected.items():
        np.testing.assert_allclose([tables[0][group][name] for name in STATISTICS], numbers, rtol=0, atol=1e-6)
    assert metrics[f'{metric.prefix}/AP (L)'] == pytest.approx(expected['whole'][4], abs=1e-6)
    if case != 'perfect':  # a case in which everything is right, or nothing, would decide nothing
        assert 0.02 < expected['whole'][0] < 0.98
