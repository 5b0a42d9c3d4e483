"""Declarations of tasks: consistent, and every part they name exists."""

import pytest

from sapiens import tasks
from sapiens.own_data.plan import OwnData
from sapiens.registry import METRICS, MODELS
from sapiens.tasks import (
    MapField,
    TaskSpec,
    get_field,
    get_task,
    map_fields,
    register_task,
    resolve,
    task_names,
    task_of,
)

KINDS = dict(
    SegTask='seg', DepthTask='depth', NormalTask='normal', PointmapTask='pointmap', MattingTask='matting', AlbedoTask='albedo'
)  # fmt: skip


@pytest.fixture
def registry(monkeypatch):
    """Forget tasks that a test registers."""
    monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))


@pytest.mark.parametrize('name', task_names())
def test_every_reference_of_a_task_resolves(name):
    spec = get_task(name)
    for reference in (spec.predictor, spec.result, spec.drawing):
        assert reference is None or callable(resolve(reference))
    assert spec.own_data is None or isinstance(resolve(spec.own_data), OwnData)
    assert spec.metric is None or METRICS.get(spec.metric) is not None
    for field in spec.fields:
        for reference in (field.reader, field.known):
            assert reference is None or callable(resolve(reference))


def test_readers_of_common_fields_resolve():
    assert {name for name, field in map_fields().items() if field.reader} >= {'mask', 'instance', 'alpha'}
    assert all(callable(resolve(field.reader)) for field in map_fields().values() if field.reader)


def test_models_tell_their_task():
    assert task_of(dict(type='PoseEstimator')).name == 'pose'
    assert task_of(dict(type='sapiens.MAE')).name == 'mae'
    assert task_of(dict(type='BoxEstimator')).name == 'person'
    for kind, name in KINDS.items():
        assert task_of(dict(type='DenseEstimator', task=dict(type=kind))).name == name
        assert task_of(MODELS.get(kind)).name == name
    with pytest.raises(ValueError, match="model.type='DenseHead' has no task"):
        task_of(dict(type='DenseHead'))


def test_names_of_inference():
    assert task_names() == ('mae', 'pose', 'seg', 'depth', 'normal', 'pointmap', 'matting', 'albedo', 'person')
    assert task_names(inference=True) == (
        'features',
        'pose',
        'seg',
        'depth',
        'normal',
        'pointmap',
        'matting',
        'albedo',
        'person',
    )


def test_fields_by_key():
    assert get_field('gt_depth').leading == (1,) and get_field('pred_sem_seg').leading == ()
    assert get_field('valid_mask').leading == () and get_field('valid_depth').kind == 'labels'
    assert get_field('gt_nothing') is None and get_field('valid_nothing') is None and get_field('depth') is None


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(ValueError, match="no task 'dept'; did you mean 'depth'"):
        get_task('dept')


def test_a_registered_task_is_known_everywhere(registry):
    spec = TaskSpec('shade', 'shading', fields=(MapField('shade', 1, interpolation='linear'),))
    register_task(spec)
    register_task(spec)  # as a module that is imported twice does
    assert task_names()[-1] == 'shade' and map_fields()['shade'].leading == (1,)
    with pytest.raises(ValueError, match='another declaration'):
        register_task(TaskSpec('shade', 'something else'))
    with pytest.raises(ValueError, match="declares the field 'depth' unlike another task"):
        register_task(TaskSpec('far', 'far', fields=(MapField('depth', 3),)))
    with pytest.raises(ValueError, match="'far' predicts no map"):
        _ = TaskSpec('far', 'far').field


def test_fields_refuse_contradictions():
    with pytest.raises(ValueError, match="kind='colour' is not one of"):
        MapField('x', kind='colour')
    with pytest.raises(ValueError, match="interpolation='linear' does not fit kind='labels'"):
        MapField('x', kind='labels', interpolation='linear')
