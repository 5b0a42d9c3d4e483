"""KeypointMetric: counts, reports and errors. Its values: test_keypoint_parity.py."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sapiens.datasets import KeypointDataset
from sapiens.evaluation import KeypointMetric, ValLoss, keypoints
from sapiens.metainfo import get_skeleton, match_keypoints
from sapiens.metainfo.goliath308 import WHOLEBODY_HANDS
from sapiens.registry import DATASETS, METRICS
from sapiens.utils.config import load_config

from ..ranks import on_ranks
from ..scripts import run
from .people import OWN, all_points, annotations, evaluate, perfect, perturbed, sample, write

DATA = os.environ.get('SAPIENS_TEST_DATA')
PARTS = ['body', 'foot', 'face', 'left_hand', 'right_hand']
TEN = ['AP', 'AP .5', 'AP .75', 'AP (M)', 'AP (L)', 'AR', 'AR .5', 'AR .75', 'AR (M)', 'AR (L)']


@pytest.fixture
def said(monkeypatch):
    """Record the log of the metric."""
    said = []
    monkeypatch.setattr(keypoints, 'print_log', lambda message, *_: said.append(message))
    return said


@pytest.fixture(scope='module')
def wholebody(tmp_path_factory):
    """(annotations, file) of the 133."""
    data = annotations('wholebody133')
    return data, write(tmp_path_factory.mktemp('wholebody') / 'people.json', data)


def person(image_id, item_id, skeleton='coco17', size=100.0, corner=(50.0, 50.0), visible=2):
    count = len(get_skeleton(skeleton))
    steps = np.linspace(0, 1, count)
    points = np.stack([corner[0] + size * steps, corner[1] + size * (steps * 7 % 1), np.full(count, visible)], 1)
    return dict(
        id=item_id, image_id=image_id, category_id=1, iscrowd=0, area=size**2, bbox=[*corner, size, size]
    ) | dict(keypoints=points.reshape(-1).tolist())


def dataset(*items, images=(1, 2)):
    pictures = [dict(id=image, width=500, height=500) for image in images]
    return dict(images=pictures, annotations=list(items), categories=[dict(id=1, name='person')])


def found(item, score=1.0, move=0.0, scores=None):
    points = all_points(item, 'coco17')[:, :2] + move
    scores = np.ones(len(points)) if scores is None else scores
    return sample(item['image_id'], item['id'], points, scores, item['bbox'], score)


@pytest.mark.parametrize('skeleton', ['coco17', 'wholebody133', 'goliath308', OWN], ids=['17', '133', '308', 'own'])
def test_the_annotations_themselves_score_one_in_every_group(skeleton, tmp_path, said):
    data = annotations(skeleton)
    metric = KeypointMetric(skeleton, write(tmp_path / 'people.json', data))
    numbers = evaluate(metric, perfect(data, skeleton))
    grouped = len(get_skeleton(skeleton)) > 17
    prefix = {17: 'coco', 133: 'coco-wholebody', 308: 'goliath', 5: 'own'}[len(get_skeleton(skeleton))]
    parts = [f'{part}_{kind}' for part in PARTS for kind in ('AP', 'AR')] if grouped else []
    assert list(numbers) == [f'{prefix}/{name}' for name in TEN + parts]
    assert set(numbers.values()) == {1.0}
    assert said[-1].count('100.00') == 10 * (6 if grouped else 1)


@pytest.mark.skipif(not DATA, reason='SAPIENS_TEST_DATA is not set')
@pytest.mark.parametrize(
    ('skeleton', 'name'),
    [('coco17', 'person_keypoints_val2017.json'), ('wholebody133', 'coco_wholebody_val_v1.0.json')],
)
def test_annotations_of_photographs_score_one(skeleton, name, said):
    ann_file = Path(DATA) / 'coco/annotations' / name
    numbers = evaluate(KeypointMetric(skeleton, ann_file), perfect(json.loads(ann_file.read_text()), skeleton))
    assert {name: value for name, value in numbers.items() if value not in (1.0, -1.0)} == {}
    assert numbers[f'{"coco" if skeleton == "coco17" else "coco-wholebody"}/AP'] == 1.0


def test_a_missed_person_and_a_false_one_count(tmp_path, said):
    first, second = person(1, 1), person(2, 2)
    ann_file = write(tmp_path / 'people.json', dataset(first, second))
    # Half of the people found: precision 1 at the 51 recalls 0, 0.01, ..., 0.5, and 0 at the other 50.
    numbers = evaluate(KeypointMetric('coco17', ann_file), [found(first)])
    assert numbers['coco/AP'] == pytest.approx(51 / 101) and numbers['coco/AR'] == 0.5
    assert '2 in ' in said[-1] and '1 of them in images without a prediction' in said[-1]
    # A surer false person in the other image halves the precision; a less sure one comes after all that is found.
    for score, precision in ((1.0, 0.5), (0.5, 1)):
        away = found(second, score=score, move=400)
        numbers = evaluate(KeypointMetric('coco17', ann_file), [found(first, score=0.8), away])
        assert numbers['coco/AP'] == pytest.approx(51 / 101 * precision)


def test_the_score_is_the_box_score_times_the_mean_of_confident_keypoints(tmp_path, said):
    item = person(1, 1)
    scores = np.full(17, 0.1)
    scores[:4] = 0.2, 0.21, 0.5, 0.9  # 0.2 itself is not above 0.2
    metric = KeypointMetric('coco17', write(tmp_path / 'people.json', dataset(item)), dump=str(tmp_path / 'd.json'))
    evaluate(metric, [found(item, 0.5, scores=scores), found(person(2, 2), 0.5, scores=np.full(17, 0.1))])
    one, other = json.loads((tmp_path / 'd.json').read_text())
    assert one['score'] == pytest.approx(0.5 * (0.21 + 0.5 + 0.9) / 3, rel=1e-6)
    assert other['score'] == 0


def test_no_predictions_give_zero_with_a_warning(wholebody, said):
    numbers = KeypointMetric('wholebody133', wholebody[1]).evaluate(0)
    assert len(numbers) == 20 and set(numbers.values()) == {0.0}
    assert said[0] == 'coco-wholebody: no predictions; every ground-truth instance counts as missed'


def test_without_ground_truth_the_value_is_minus_one(tmp_path, said):
    ann_file = write(tmp_path / 'people.json', dataset(person(1, 1, visible=0), person(2, 2)))
    numbers = evaluate(KeypointMetric('coco17', ann_file), [found(person(1, 1)), found(person(2, 2))])
    assert numbers['coco/AP'] == numbers['coco/AP (L)'] == 1.0  # who is not labeled is neither missed nor false
    assert numbers['coco/AP (M)'] == -1.0 and ' - ' in said[-1]


def test_keypoints_that_were_not_predicted_count_as_misses(tmp_path, said):
    item = person(1, 1)
    ann_file = write(tmp_path / 'people.json', dataset(item))
    partly = found(item)
    partly['pred_instances']['keypoints'][0, 10:] = np.nan
    partly['pred_instances']['keypoint_scores'][0, 10:] = 0
    numbers = evaluate(KeypointMetric('coco17', ann_file), [partly])
    # 10 of 17 are exact: OKS 0.588 passes the thresholds 0.5 and 0.55.
    assert numbers['coco/AR'] == pytest.approx(0.2) and numbers['coco/AR .75'] == 0
    assert '7 annotated keypoints were never predicted' in said[-1] and 'right_wrist' in said[-1]


def test_repeated_samples_count_once(tmp_path, said):
    first, second = person(1, 1), person(2, 2)
    metric = KeypointMetric('coco17', write(tmp_path / 'people.json', dataset(first, second)), nms='none')
    numbers = evaluate(metric, [found(first), found(second), found(first), found(first)])
    assert numbers['coco/AP'] == 1.0 and ' 2 people predicted' in said[-1]


def test_tensors_several_people_per_sample_and_no_boxes(tmp_path, said):
    first, second = person(1, 1), person(1, 2, corner=(300.0, 300.0))
    points = torch.tensor(np.stack([all_points(item, 'coco17')[:, :2] for item in (first, second)]))
    pred = InstanceData(keypoints=points, keypoint_scores=torch.ones(2, 17))
    metric = KeypointMetric('coco17', write(tmp_path / 'people.json', dataset(first, second)))
    assert evaluate(metric, [dict(img_id=1, id=5, pred_instances=pred.to_dict(), gt_instances={})])['coco/AP'] == 1.0


def test_samples_are_packed_as_the_loop_hands_them_over(tmp_path, said):
    from mmpose.structures import PoseDataSample

    item = person(1, 1)
    ann_file = write(tmp_path / 'people.json', dataset(item))
    kept = []
    # Two people 20 px apart: on the scale of a large crop they are one, on that of a small one they are two.
    for size in (2000.0, 100.0):
        metric = KeypointMetric('coco17', ann_file, dump=str(tmp_path / 'results.json'))
        samples = []
        for index in range(2):
            packed = PoseDataSample(metainfo=dict(img_id=1, id=index, input_scale=np.array([size, size], np.float32)))
            plain = found(item, score=1 - 0.5 * index, move=20.0 * index)
            packed.pred_instances = InstanceData(**plain['pred_instances'])
            packed.gt_instances = InstanceData(**plain['gt_instances'])
            samples.append(packed.to_dict())
        evaluate(metric, samples)
        kept.append(len(json.loads((tmp_path / 'results.json').read_text())))
    assert kept == [1, 2]


def test_groups_by_name(wholebody, said):
    data, ann_file = wholebody
    samples = perturbed(data, 'wholebody133', false=1)
    every = evaluate(KeypointMetric('wholebody133', ann_file), samples)
    some = evaluate(KeypointMetric('wholebody133', ann_file, groups=['face', 'body'], prefix='p'), samples)
    assert list(some) == ['p/body_AP', 'p/body_AR', 'p/face_AP', 'p/face_AR']
    assert {f'coco-wholebody{name[1:]}': value for name, value in some.items()}.items() <= every.items()
    whole = evaluate(KeypointMetric('wholebody133', ann_file, groups=['whole']), samples)
    assert whole.items() <= every.items() and len(whole) == 10


def test_groups_of_an_own_skeleton_and_extra_only_by_name(tmp_path, said):
    own = OWN | dict(groups=dict(wings=['left_wing', 'right_wing'], extra=['belly']))
    data = annotations(own)
    ann_file = write(tmp_path / 'people.json', data)
    metric = KeypointMetric(own, ann_file)
    assert {name: ids.tolist() for name, ids in metric.groups.items()} == {'wings': [1, 2], 'whole': [0, 1, 2, 3, 4]}
    assert list(KeypointMetric(own, ann_file, groups=['extra']).groups) == ['extra']
    with pytest.raises(ValueError, match="calls a group 'whole'"):
        KeypointMetric(OWN | dict(groups=dict(whole=['tip'])), ann_file)


def as_goliath(data, wide):
    """Exact predictions of the 308 that the 133 share, and noise elsewhere."""
    source = match_keypoints('goliath308', 'wholebody133', WHOLEBODY_HANDS if wide else None)
    random = np.random.default_rng(0)
    result = []
    for item in perfect(data, 'wholebody133'):
        points = random.uniform(0, 900, (1, 308, 2)).astype(np.float32)
        scores = np.ones((1, 308), np.float32)
        for name, values in (('keypoints', points), ('keypoint_scores', scores)):
            values[:, source[source >= 0]] = item['pred_instances'][name][:, source >= 0]
        item['pred_instances'].update(keypoints=points, keypoint_scores=scores)
        result.append(item)
    return result


def test_common_keypoints_of_two_skeletons(wholebody, said):
    data, ann_file = wholebody
    samples = as_goliath(data, wide=False)
    metric = KeypointMetric('goliath308', ann_file, common_with='coco_wholebody')
    numbers = evaluate(metric, samples)
    assert {name: len(ids) for name, ids in metric.groups.items()} == {
        'body': 17,
        'foot': 6,
        'left_hand': 15,
        'right_hand': 15,
        'whole': 53,
    }
    assert 'coco-wholebody/face_AP' not in numbers and set(numbers.values()) == {1.0}
    wide = KeypointMetric('goliath308', ann_file, common_with='wholebody133', common_names='wide')
    assert [len(wide.groups[name]) for name in ('left_hand', 'right_hand', 'whole')] == [21, 21, 65]
    assert evaluate(wide, samples)['coco-wholebody/left_hand_AP'] < 0.9  # knuckles are noise there
    assert set(evaluate(wide, as_goliath(data, wide=True)).values()) == {1.0}


def test_the_shipped_evaluation_of_308_keypoints_on_wholebody(tmp_path, monkeypatch, said):
    """Detected boxes of COCO-WholeBody in, the 53 common keypoints scored; the published count of the others by an option."""
    data = annotations('wholebody133', unlabelled=False, crowds=False)
    root = tmp_path / 'coco'
    for folder in ('annotations', 'person_detection_results', 'val2017'):
        (root / folder).mkdir(parents=True)
    write(root / 'annotations/coco_wholebody_val_v1.0.json', data)
    people = data['annotations']
    boxes = [dict(image_id=a['image_id'], category_id=1, bbox=a['bbox'], score=0.9) for a in people]
    write(root / 'person_detection_results/COCO_val2017_detections_AP_H_70_person.json', boxes)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    cfg = load_config('sapiens_1b_goliath-1024x768_on-wholebody')
    assert cfg.val_evaluator[0].ann_file.endswith('goliath/test_5000/annotations/person_keypoints_test2023.json')
    own = cfg.test_dataloader.dataset
    own.pipeline = []
    dataset = DATASETS.build(own)
    inputs = [dataset[index] for index in range(len(dataset))]
    assert len(inputs) == len(boxes) and dataset.metainfo['dataset_name'] == 'goliath'
    samples = as_goliath(data, wide=False)
    assert {item['img_id'] for item in inputs} == {item['img_id'] for item in samples}
    (options,) = cfg.test_evaluator
    assert set(evaluate(METRICS.build(options), samples).values()) == {1.0}
    numbers = evaluate(METRICS.build(dict(options, missing='wrong')), samples)
    assert numbers['coco-wholebody/face_AP'] == 0.0 and numbers['coco-wholebody/AP'] < 0.3


def test_only_compared_keypoints_make_the_score_of_a_person(wholebody, tmp_path, said):
    data, ann_file = wholebody
    samples = as_goliath(data, wide=False)
    nose, toe = (get_skeleton('goliath308').index(name) for name in ('nose', 'left_big_toe'))
    for item in samples:
        item['pred_instances']['keypoint_scores'][0, [nose, toe]] = 0.5, 0.7
        item['pred_instances']['keypoint_scores'][0, -1] = 1  # what an index of -1 would pick
    dump = tmp_path / 'results.json'
    names = dict(common_with='wholebody133', common_names=['nose', 'left_big_toe'])
    evaluate(KeypointMetric('goliath308', ann_file, dump=str(dump), **names), samples)
    assert [item['score'] for item in json.loads(dump.read_text())] == pytest.approx([0.6] * len(samples))


def test_an_unlabelled_person_may_be_predicted_in_part(tmp_path, said):
    # Nothing of the first is labeled. Who is found in its place is neither right nor wrong, also by half of the points.
    item, other = person(1, 1), person(2, 2)
    half = found(item)
    half['pred_instances']['keypoints'][0, 4:] = np.nan
    ann_file = write(tmp_path / 'people.json', dataset(person(1, 1, visible=0), other))
    numbers = evaluate(KeypointMetric('coco17', ann_file), [half, found(other, 0.5)])
    assert numbers['coco/AP'] == 1.0


def test_common_keypoints_by_name_and_those_that_are_missing(wholebody, said):
    data, ann_file = wholebody
    samples = as_goliath(data, wide=False)
    names = ['nose', 'left_big_toe', 'left_thumb4']
    chosen = KeypointMetric('goliath308', ann_file, common_with='wholebody133', common_names=names)
    assert {name: len(ids) for name, ids in chosen.groups.items()} == dict(body=1, foot=1, left_hand=1, whole=3)
    assert evaluate(chosen, samples)['coco-wholebody/AP .5'] == 1.0
    wrong = KeypointMetric('goliath308', ann_file, common_with='wholebody133', missing='wrong')
    numbers = evaluate(wrong, samples)
    assert numbers['coco-wholebody/body_AP'] == 1.0 and numbers['coco-wholebody/face_AP'] == 0.0
    assert numbers['coco-wholebody/AP'] < 0.3  # at most 53 of 133, or of fewer where parts are not labeled
    assert '80 annotated keypoints were never predicted' in said[-1]


@pytest.mark.parametrize('skeleton', ['coco17', 'wholebody133'])
def test_a_dump_is_scored_to_the_same_bits(skeleton, tmp_path, said):
    data = annotations(skeleton)
    ann_file = write(tmp_path / 'people.json', data)
    samples = perturbed(data, skeleton, false=2, doubled=0.5)
    for item in samples[::3]:
        item['pred_instances']['keypoints'][0, 3:7] = np.nan
        item['pred_instances']['keypoint_scores'][0, 3:7] = 0
    dump = tmp_path / 'new' / 'results.json'
    numbers = evaluate(KeypointMetric(skeleton, ann_file, dump=str(dump)), samples)
    metric = KeypointMetric(skeleton, ann_file)
    assert {f'{metric.prefix}/{name}': value for name, value in metric.rescore(str(dump)).items()} == numbers
    assert sorted(path.name for path in dump.parent.iterdir()) == ['results.json']


def test_a_dump_is_read_by_pycocotools(tmp_path, said, capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    data = annotations('coco17')
    ann_file, dump = write(tmp_path / 'people.json', data), str(tmp_path / 'results.json')
    samples = perturbed(data, 'coco17', false=2, doubled=0.5)
    # Without any score a person is not counted by xtcocotools, which published figures come from, but by pycocotools.
    samples = [item for item in samples if item['pred_instances']['keypoint_scores'].any()]
    numbers = evaluate(KeypointMetric('coco17', ann_file, dump=dump), samples)
    truth = COCO(ann_file)
    judge = COCOeval(truth, truth.loadRes(dump), 'keypoints')
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    np.testing.assert_allclose(list(numbers.values())[:3], judge.stats[:3], rtol=0, atol=1e-6)


def test_a_dump_has_the_five_lists_of_wholebody(wholebody, tmp_path, said):
    data, ann_file = wholebody
    evaluate(KeypointMetric('wholebody133', ann_file, dump=str(tmp_path / 'r.json')), perturbed(data, 'wholebody133'))
    for item in json.loads((tmp_path / 'r.json').read_text()):
        assert list(item) == ['image_id', 'category_id', 'keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts',
                              'righthand_kpts', 'score']  # fmt: skip
        assert [len(values) // 3 for values in list(item.values())[2:7]] == [17, 6, 68, 21, 21]


def test_the_tool_scores_a_dump(wholebody, tmp_path, said):
    data, ann_file = wholebody
    dump, out = tmp_path / 'results.json', tmp_path / 'scores.json'
    metric = KeypointMetric('goliath308', ann_file, common_with='wholebody133', common_names='wide', dump=str(dump))
    numbers = evaluate(metric, as_goliath(data, wide=False))
    command = ['tools/misc/score_keypoints.py', dump, '--ann-file', ann_file, '--skeleton', 'goliath308',
               '--common-with', 'wholebody133', '--common-names', 'wide']  # fmt: skip
    result = run(*command, '--out', out)
    assert json.loads(out.read_text()) == numbers
    assert f'coco-wholebody/AP: {numbers["coco-wholebody/AP"]:.4f}' in result.stdout
    result = run(*command, '--groups', 'tail', check=False)
    assert result.returncode == 2 and "group 'tail'" in result.stderr


def evaluate_on_rank(ann_file, samples):
    """Numbers of this process, which evaluates together with another one, and whether it read the file."""
    # As the loader deals them out: by turns, and the first ones again until ranks have equally many.
    mine = (samples + samples[: len(samples) % 2])[dist.get_rank() :: 2]
    numbers = {}
    # A size that is told too large leaves the padding to the metric itself.
    for name, size in (('exact', len(samples)), ('padded', len(samples) + 1)):
        metric = KeypointMetric('coco17', ann_file)
        for item in mine:
            metric.process({}, [item])
        numbers[name] = metric.evaluate(size)
    loss = ValLoss()
    for item in mine:
        loss.process({}, [item])
    numbers['loss'] = loss.evaluate(len(samples))
    return dict(numbers=numbers, read='people' in vars(metric))


def test_two_processes_evaluate_as_one(tmp_path, said):
    data = annotations('coco17', images=6)
    ann_file = write(tmp_path / 'people.json', data)
    samples = perturbed(data, 'coco17', false=1, missed=0.2)
    samples = samples[: len(samples) // 2 * 2 - 1]  # an odd number, so that a rank gets one again
    for index, item in enumerate(samples):
        item['loss'] = float(index)
    answers = on_ranks(2, evaluate_on_rank, tmp_path, ann_file, samples)
    alone = evaluate(KeypointMetric('coco17', ann_file), samples)
    assert 0.1 < alone['coco/AP'] < 0.9
    for answer in answers:
        assert answer['numbers']['exact'] == answer['numbers']['padded'] == alone
        assert answer['numbers']['loss'] == dict(val_loss=(len(samples) - 1) / 2)
    assert [answer['read'] for answer in answers] == [True, False]


def test_images_that_are_not_annotated_are_an_error(wholebody):
    items = [sample(image, 1, np.zeros((133, 2)), np.ones(133), (0, 0, 9, 9), 1) for image in (100, 99, 98)]
    with pytest.raises(ValueError, match=r'the prediction has people in 2 image\(s\).* does not list: 98, 99\.'):
        evaluate(KeypointMetric('wholebody133', wholebody[1]), items)


def test_predictions_of_another_skeleton_are_an_error(wholebody):
    metric = KeypointMetric('wholebody133', wholebody[1])
    with pytest.raises(ValueError, match=r'image 100: predicted keypoints \(1, 17, 2\).*133.*wholebody133'):
        metric.process({}, [sample(100, 1, np.zeros((17, 2)), np.ones(17), (0, 0, 9, 9), 1)])


def test_annotation_files_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', '/nowhere')
    with pytest.raises(FileNotFoundError, match=r'no annotation file .*none.json.*DATA_ROOT is /nowhere'):
        KeypointMetric('coco17', str(tmp_path / 'none.json'))
    file = tmp_path / 'people.json'
    write(file, dataset(person(1, 31)))
    with pytest.raises(ValueError, match=r'annotation 31 .*has 17 keypoints.*, but skeleton .wholebody133. has 133'):
        KeypointMetric('wholebody133', str(file))
    item = person(1, 32)
    del item['area']
    write(file, dataset(item))
    np.testing.assert_allclose(KeypointMetric('coco17', str(file)).people.areas, [5300])
    np.testing.assert_allclose(KeypointMetric('coco17', str(file), use_area=False).people.areas, [5300])
    item = person(1, 34)
    item['keypoints'][3] = float('nan')
    write(file, dataset(item))
    with pytest.raises(ValueError, match=r'annotation 34 has keypoints that are not finite'):
        KeypointMetric('coco17', str(file))
    write(file, dataset(person(7, 33)))
    with pytest.raises(ValueError, match=r'annotations of images that it does not list: 7'):
        KeypointMetric('coco17', str(file))
    write(file, dataset())
    with pytest.raises(ValueError, match='no annotation with keypoints'):
        KeypointMetric('coco17', str(file))
    file.write_text('[]')
    with pytest.raises(ValueError, match="is not an annotation file of COCO's format"):
        KeypointMetric('coco17', str(file))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(nms='soft'), "nms='soft', expected one of 'oks', 'none'"),
        (dict(groups=['tail']), "group 'tail'"),
        (dict(groups='body'), "groups must be a list of names, not 'body'"),
        (dict(groups=[]), 'groups must be a list'),
        (dict(missing='wrong'), 'only together with common_with'),
        (dict(common_names='wide'), 'only together with common_with'),
        (dict(common_with='coco17', common_names='all'), "common_names='all'"),
        (dict(common_with='coco17', common_names='wide'), 'knows pairs of goliath308 and wholebody133'),
        (dict(common_with='coco17', common_names=['noze']), 'nose'),
        (dict(common_with='coco17', common_names=[]), 'common_names is empty'),
        (dict(common_with='wholebody133', groups=['face']), 'no keypoint of face is compared'),
    ],
)
def test_options_are_checked(options, message, wholebody):
    skeleton = 'goliath308' if 'face' in options.get('groups', ()) else 'wholebody133'
    with pytest.raises(ValueError, match=message):
        KeypointMetric(skeleton, wholebody[1], **options)


def test_a_name_that_the_model_does_not_predict_is_refused(wholebody):
    with pytest.raises(ValueError, match=r"common_names has 'face-3', which 'goliath308' does not predict"):
        KeypointMetric('goliath308', wholebody[1], common_with='wholebody133', common_names=['nose', 'face-3'])


def test_results_without_boxes_with_zero_keypoints_are_those_of_pycocotools(tmp_path):
    data = annotations('coco17')
    file = write(tmp_path / 'people.json', data)
    random, results = np.random.default_rng(0), []
    for item in perturbed(data, 'coco17', false=2, missed=0.2):
        points = np.column_stack([item['pred_instances']['keypoints'][0], np.ones(17)])
        points[random.random(17) < 0.3] = 0
        score = float(item['pred_instances']['bbox_scores'][0])
        results.append(dict(image_id=item['img_id'], category_id=1, keypoints=points.ravel().tolist(), score=score))
    judge = COCO(file)
    evaluation = COCOeval(judge, judge.loadRes(json.loads(json.dumps(results))), 'keypoints')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ours = KeypointMetric('coco17', file).rescore(write(tmp_path / 'results.json', results))
    np.testing.assert_allclose([ours[name] for name in TEN], evaluation.stats, rtol=0, atol=1e-6)


def test_metrics_of_mmpose_take_the_metainfo_of_the_dataset(tmp_path):
    from mmpose.evaluation.metrics import CocoMetric

    data = annotations('coco17', crowds=False, unlabelled=False)
    file = write(tmp_path / 'people.json', data)
    samples = perturbed(data, 'coco17', false=1, missed=0.2)
    # faster-coco-eval, which may take the place of xtcocotools, does not leave out people without a score.
    samples = [one for one in samples if one['pred_instances']['keypoint_scores'].any()]
    metainfo = KeypointDataset(file, 'coco17', test_mode=True).metainfo
    theirs = CocoMetric(file)
    theirs.dataset_meta = metainfo
    ours = evaluate(KeypointMetric('coco17', file), samples)
    assert evaluate(theirs, samples)['coco/AP'] == pytest.approx(ours['coco/AP'], abs=1e-6)
