"""Evaluation of several tasks: each by its metrics, on its data."""

import pytest
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement

from sapiens.datasets import MultiTaskDataset
from sapiens.engine.evaluators import complete_evaluators
from sapiens.engine.hooks.data_check import check_names
from sapiens.engine.task_evaluation import TaskEvaluator, has_tasks, is_by_task
from sapiens.evaluation import reported_names
from sapiens.utils.config import load_config

from ..datasets.test_multi_task import Numbers
from ..models.multi_task import build


class Count(BaseMetric):
    """Counts samples; knows the size that it is given and the data."""

    def __init__(self, name='count', prefix=None, known=True):
        super().__init__(prefix=prefix)
        self.name = name
        if known:
            self.names = (name,)

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def evaluate(self, size):
        self.size = size
        return super().evaluate(size)

    def compute_metrics(self, results):
        return {self.name: len(results)}


def sample(task):
    return BaseDataElement(metainfo=dict(task=task))


def data(**sizes):
    return MultiTaskDataset({name: Numbers(size) for name, size in sizes.items()})


def test_each_metric_sees_its_task():
    metrics = dict(pose=Count(prefix='pose'), seg=[Count(prefix='seg'), Count('other', prefix='seg')])
    evaluator = TaskEvaluator(metrics)
    evaluator.set_data(data(pose=2, seg=3), 'val')
    for batch in ([sample('pose')] * 2, [sample('seg')] * 2, [sample('seg')]):
        evaluator.process(batch)
    assert evaluator.evaluate(5) == {'pose/count': 2, 'seg/count': 3, 'seg/other': 3}
    assert [metric.size for metric in evaluator.metrics] == [2, 3, 3]
    assert metrics['pose'].dataset_meta['classes'] == (2,) and metrics['seg'][0].dataset_meta['classes'] == (3,)


@pytest.mark.parametrize('known', [True, False])
def test_names_that_tasks_share_get_the_name_of_the_task(known):
    losses = [Count('val_loss', prefix='', known=known) for _ in range(2)]
    evaluator = TaskEvaluator(dict(pose=[Count('AP', prefix='coco'), losses[0]], seg=[losses[1]]))
    evaluator.set_data(data(pose=1, seg=1), 'val')
    for task in ('pose', 'seg'):
        evaluator.process([sample(task)])
    assert evaluator.evaluate(2) == {'coco/AP': 1, 'pose/val_loss': 1, 'seg/val_loss': 1}
    if known:
        assert reported_names(evaluator.metrics) == ['coco/AP', 'pose/val_loss', 'seg/val_loss']
    two = TaskEvaluator(dict(a=Count('AP', prefix='coco'), b=Count('AP', prefix='coco')))
    assert [metric.prefix for metric in two.metrics] == ['a/coco', 'b/coco']


def test_a_name_that_clashes_in_spite_of_what_metrics_say_is_refused():
    one, two = Count('x', prefix='p'), Count('y', prefix='p')
    evaluator = TaskEvaluator(dict(pose=one, seg=two))
    two.name = 'x'
    evaluator.set_data(data(pose=1, seg=1), 'val')
    for task in ('pose', 'seg'):
        evaluator.process([sample(task)])
    with pytest.raises(ValueError, match="metrics of two tasks report 'p/x': give one of them another prefix="):
        evaluator.evaluate(2)


def test_data_and_metrics_are_for_the_same_tasks():
    evaluator = TaskEvaluator(dict(pose=Count(), seg=Count()))
    with pytest.raises(ValueError, match='val_evaluator has metrics for pose, seg, val_dataloader data for seg'):
        evaluator.set_data(data(seg=1), 'val')


def test_what_a_config_says():
    assert is_by_task(dict(pose=dict(type='ValLoss'))) and not is_by_task([dict(type='ValLoss')])
    assert not is_by_task(dict(type='ValLoss')) and not is_by_task(dict(metrics=[])) and not is_by_task({})
    assert has_tasks(dict(type='MultiTaskDataset', datasets={})) and not has_tasks(dict(type='ImageFolder'))


def test_the_default_metrics_are_those_of_the_tasks():
    cfg = load_config('multi/sapiens2_tiny_synthetic-128x96')
    cfg.val_evaluator = None
    complete_evaluators(cfg)
    assert cfg.val_evaluator == dict(
        normal=dict(type='NormalMetric'), pose=dict(type='KeypointMetric'), seg=dict(type='SegMetric')
    )
    assert set(cfg.test_evaluator) == {'normal', 'pose', 'seg'}


def test_metrics_take_the_encoding_of_the_task():
    """Linear predictions would be compared with sRGB-coded labels."""
    cfg = load_config('albedo/sapiens2_tiny_synthetic-128x96')
    complete_evaluators(cfg)
    assert [one.get('encoding') for one in cfg.val_evaluator] == ['srgb', None]
    for evaluator in (None, dict(type='AlbedoMetric'), [dict(type='AlbedoMetric'), dict(type='ValLoss')]):
        cfg = load_config('albedo/sapiens2_tiny_synthetic-128x96')
        cfg.model.task.encoding, cfg.val_evaluator = 'linear', evaluator
        complete_evaluators(cfg)
        first = cfg.val_evaluator[0] if isinstance(cfg.val_evaluator, list) else cfg.val_evaluator
        assert first == dict(type='AlbedoMetric', encoding='linear')
    cfg.val_evaluator = dict(type='AlbedoMetric', encoding='srgb')
    with pytest.raises(
        ValueError, match="val_evaluator: AlbedoMetric has encoding='srgb', .* AlbedoTask have 'linear'"
    ):
        complete_evaluators(cfg)


def test_classes_of_each_task_must_be_those_of_its_data():
    model = build()
    with pytest.raises(
        ValueError, match='the train data are for pose, the model is for normal, pose, seg: give train_dataloader'
    ):
        check_names(model, data(pose=1), 'train')
    sets = dict(normal=Numbers(1), pose=Numbers(1), seg=Numbers(1))
    for dataset in sets.values():
        del dataset.metainfo['classes']
    sets['seg'].metainfo.update(classes=('background', 'left', 'right', 'x'), class_list='other')
    with pytest.raises(
        ValueError, match=r"the train \(seg\) data have the 4 classes of 'other', the model predicts the 4 of 'four'"
    ):
        check_names(model, MultiTaskDataset(sets), 'train')
    sets['seg'].metainfo['classes'] = tuple(model.tasks['seg'].task.classes.classes)
    check_names(model, MultiTaskDataset(sets), 'train')
