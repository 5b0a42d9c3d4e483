"""SegMetric: counts, reports and errors."""

import numpy as np
import pytest
import torch

from sapiens.evaluation import SegMetric, segmentation, streaming
from sapiens.metainfo import get_classes

from .dense import evaluate

FOUR = dict(name='four', classes=['nothing', 'skin', 'cloth', 'hair'])


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """Record the log of the metric."""
    said = []
    for module in (segmentation, streaming):
        monkeypatch.setattr(module, 'print_log', lambda message, *_: said.append(message))
    return said


def sample(label, pred, index=0, **fields):
    label, pred = torch.tensor(label, dtype=torch.uint8), torch.tensor(pred)
    return dict(sample_idx=index, img_path=f'{index}.png', gt_sem_seg=label, pred_sem_seg=pred, **fields)


def test_by_hand_over_two_images(said):
    samples = [sample([[0, 0], [1, 1]], [[0, 1], [1, 1]]), sample([[2, 255, 0]], [[1, 1, 0]], index=1)]
    # Over both: nothing 2 of 3; skin 2 of 2, two more claimed; cloth 0 of 1; hair nowhere.
    assert evaluate(SegMetric(FOUR), samples) == {
        'seg/mIoU': pytest.approx((2 / 3 + 2 / 4 + 0) / 3),
        'seg/mAcc': pytest.approx((2 / 3 + 1 + 0) / 3),
        'seg/aAcc': pytest.approx(4 / 6),
    }
    table = said[-1]
    assert '2 images, 6 labeled pixels' in table
    rows = [line.split() for line in table.splitlines()]
    assert ['|', 'nothing', '|', '66.67', '|', '66.67', '|', '50.000', '|', 'skin', '33.3', '|'] in rows
    assert ['|', 'cloth', '|', '0.00', '|', '0.00', '|', '16.667', '|', 'skin', '100.0', '|'] in rows
    assert ['|', 'hair', '|', '-', '|', '-', '|', '0.000', '|', '|'] in rows


def test_perfect_prediction():
    label = np.random.default_rng(0).integers(0, 4, (10, 10)).tolist()
    metric = SegMetric(FOUR, average_over='all', min_share=0.01, prefix='p')
    assert set(evaluate(metric, [sample(label, label)]).items()) == {
        ('p/mIoU', 1.0), ('p/mAcc', 1.0), ('p/aAcc', 1.0), ('p/mIoU@0.01', 1.0), ('p/mAcc@0.01', 1.0)
    }  # fmt: skip


def test_pixels_that_do_not_count_do_not_matter():
    first = sample([[0, 1, 2, 255]], [[0, 1, 1, 0]])
    valid = torch.tensor([[True, True, False, True]])
    expected = evaluate(SegMetric(FOUR), [sample([[0, 1]], [[0, 1]])])
    for ignored, unseen in ((3, 2), (0, 99)):  # not even what is not a class
        other = sample([[0, 1, unseen, 255]], [[0, 1, ignored, ignored]], valid_mask=valid)
        assert evaluate(SegMetric(FOUR), [other]) == expected
    assert evaluate(SegMetric(FOUR), [first]) != expected


def test_which_classes_are_averaged():
    samples = [sample([[0, 0, 0, 1]], [[0, 0, 2, 1]])]
    iou = {0: 2 / 3, 1: 1, 2: 0}
    for mode, chosen, accuracies in (('found', 3, 2), ('labelled', 2, 2), ('all', 4, 4)):
        numbers = evaluate(SegMetric(FOUR, mode), samples)
        total = sum(iou[index] for index in range(min(chosen, 3)))
        assert numbers['seg/mIoU'] == pytest.approx(total / chosen), mode
        assert numbers['seg/mAcc'] == pytest.approx((2 / 3 + 1) / accuracies), mode


def test_means_over_classes_above_a_fraction_of_pixels():
    samples = [sample([[0] * 5 + [1] * 4 + [2] + [255] * 9], [[0] * 9 + [1] * 10])]
    numbers = evaluate(SegMetric(FOUR, min_share=0.4), samples)
    assert numbers['seg/mIoU@0.4'] == pytest.approx((5 / 9 + 0) / 2) and numbers['seg/mAcc@0.4'] == pytest.approx(
        1 / 2
    )
    assert numbers['seg/mIoU'] == pytest.approx(5 / 9 / 3)
    assert evaluate(SegMetric(FOUR, min_share=0.9), samples)['seg/mIoU@0.9'] == 0


@pytest.mark.parametrize('published', [True, False])
def test_equal_to_mmseg(published, monkeypatch):
    from mmseg.evaluation.metrics import iou_metric

    monkeypatch.setattr(iou_metric, 'print_log', lambda *_, **__: None)
    classes = get_classes('goliath28')
    random = np.random.default_rng(3)
    theirs = iou_metric.IoUMetric(nan_to_num=None if published else 0)
    theirs.dataset_meta = dict(classes=classes.classes)
    samples, packed = [], []
    for index in range(6):
        label = random.integers(0, 24, (40, 30)).astype(np.uint8)  # some classes are nowhere
        label[random.random(label.shape) < 0.1] = 255
        pred = np.where(random.random(label.shape) < 0.6, label, random.integers(0, 26, label.shape)).astype(np.int64)
        pred[label == 255] = random.integers(0, 28, (label == 255).sum())
        samples.append(sample(label.tolist(), pred.tolist(), index))
        fields = dict(pred_sem_seg=pred, gt_sem_seg=label)
        packed.append({name: dict(data=torch.from_numpy(value)[None]) for name, value in fields.items()})
    theirs.process({}, packed)
    expected = theirs.compute_metrics(theirs.results)
    ours = evaluate(SegMetric('goliath28', 'found' if published else 'all'), samples)
    assert len(expected) == 3 and 20 < expected['mIoU'] < 60
    for name, value in expected.items():  # theirs are per cent with two digits
        assert round(100 * ours[f'seg/{name}'], 2) == pytest.approx(float(value), abs=1e-5), name


def test_ids_outside_the_classes_are_an_error_with_the_image():
    with pytest.raises(ValueError, match=r"7.png: label 9 is not a class of 'four' \(4 classes, 255 is ignored\)$"):
        SegMetric(FOUR).process({}, [sample([[0, 9]], [[0, 0]], index=7)])
    with pytest.raises(ValueError, match=r'7.png: prediction 5 .*model has other classes'):
        SegMetric(FOUR).process({}, [sample([[0, 1]], [[0, 5]], index=7)])


def test_nothing_is_labelled(said):
    assert evaluate(SegMetric(FOUR), [sample([[255, 255]], [[0, 1]])]) == {}
    assert said == ['seg: no pixel is labeled; nothing is reported']


def test_refused_settings():
    for message, options in (
        ("average_over='some', expected one of 'found', 'labelled', 'all'", dict(average_over='some')),
        ('min_share=0,', dict(min_share=0)),
        ('min_share=1.5,', dict(min_share=1.5)),
    ):
        with pytest.raises(ValueError, match=message):
            SegMetric(FOUR, **options)
    with pytest.raises(ValueError, match="class list 'goliat28'"):
        SegMetric('goliat28')
