"""One encoder with the heads of several tasks."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sapiens.engine import ParamGroupConstructor
from sapiens.registry import MODELS
from sapiens.tasks import member_of, members_of, task_of

from .multi_task import BACKBONES, TASKS, build, config, images, samples

families = pytest.mark.parametrize('family', BACKBONES)
tasks = pytest.mark.parametrize('task', TASKS)
PREDICTIONS = dict(pose='pred_instances', seg='pred_sem_seg', normal='pred_normal')


def alone(model, family, task):
    """The model of a single task with the weights that the model of all has."""
    single = MODELS.build(dict(TASKS[task], backbone=BACKBONES[family])).eval()
    weights = {key: value for key, value in model.state_dict().items() if key.startswith('backbone.')}
    prefix = f'tasks.{task}.'
    weights |= {key.removeprefix(prefix): value for key, value in model.state_dict().items() if key.startswith(prefix)}
    single.load_state_dict(weights, strict=True)
    return single


def prediction(sample, task):
    found = sample.get(PREDICTIONS[task])
    return (
        np.concatenate([found.keypoints.ravel(), found.keypoint_scores.ravel()]) if task == 'pose' else found.numpy()
    )


def count_passes(model):
    """Count the images that the encoder sees, and its calls."""
    seen = SimpleNamespace(calls=0, images=0)

    def hook(module, inputs, outputs):
        seen.calls, seen.images = seen.calls + 1, seen.images + len(inputs[0])

    model.backbone.register_forward_hook(hook)
    return seen


@families
@tasks
def test_each_task_computes_what_a_model_of_it_alone_computes(family, task):
    model = build(family)
    single = alone(model, family, task)
    assert torch.equal(model(images())[task], single(images()))
    losses = model(images(), samples(task), mode='loss')
    expected = single(images(), samples(task), mode='loss')
    assert set(losses) == {f'{task}_{name}' for name in expected}
    assert all(torch.equal(losses[f'{task}_{name}'], value) for name, value in expected.items())
    for got, want in zip(
        model(images(), samples(task), mode='predict'), single(images(), samples(task), mode='predict'), strict=True
    ):
        np.testing.assert_array_equal(prediction(got, task), prediction(want, task))


@families
def test_a_round_of_tasks_gives_gradients_to_every_parameter_and_a_step_to_one_head(family):
    model = build(family).train()
    for task in TASKS:
        model.zero_grad(set_to_none=True)
        sum(value for key, value in model(images(), samples(task), mode='loss').items() if 'loss' in key).backward()
        got = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        heads = {name for name, _ in model.named_parameters() if name.startswith('tasks.')}
        assert got & heads == {name for name in heads if name.startswith(f'tasks.{task}.')}
    model.zero_grad(set_to_none=True)
    for task in TASKS:
        sum(value for key, value in model(images(), samples(task), mode='loss').items() if 'loss' in key).backward()
    without = {
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    }
    assert without == without_alone(family)


def without_alone(family):
    """Parameters of the encoder that get no gradient in a model of a single task."""
    single = MODELS.build(dict(TASKS['normal'], backbone=BACKBONES[family])).train()
    torch.nn.init.normal_(single.head.conv_normal.weight)
    sum(single(images(), samples('normal'), mode='loss').values()).backward()
    return {
        name
        for name, parameter in single.named_parameters()
        if name.startswith('backbone.') and (parameter.grad is None or not parameter.grad.any())
    }


def test_the_encoder_has_one_place_in_the_state():
    model = build()
    names = list(model.state_dict())
    assert not [name for name in names if 'backbone' in name and not name.startswith('backbone.')]
    assert set(names) == {name for name, _ in [*model.named_parameters(), ('backbone.rope_embed.periods', None)]}
    twin = copy.deepcopy(model)
    assert all(part.backbone is twin.backbone is not model.backbone for part in twin.tasks.values())
    model.to(torch.float64)
    assert next(model.tasks['seg'].backbone.parameters()).dtype == torch.float64


def test_the_order_of_tasks_in_a_config_does_not_matter():
    turned = dict(reversed(TASKS.items()))
    orders = [[name for name, _ in MODELS.build(config(tasks=tasks)).named_parameters()] for tasks in (TASKS, turned)]
    assert orders[0] == orders[1]


def test_tasks_of_the_same_images_share_an_encoder_pass():
    model, inputs = build(), images()
    seen = count_passes(model)
    off = {task: dict(flip_test=False) for task in TASKS}
    found = model.predict_tasks(inputs, {task: samples(task) for task in TASKS}, off)
    assert (seen.calls, seen.images) == (1, 2)
    for task in TASKS:
        single = alone(model, 'sapiens2', task)
        for got, want in zip(found[task], single.predict(inputs, samples(task), flip_test=False), strict=True):
            np.testing.assert_array_equal(prediction(got, task), prediction(want, task))


def test_mirrored_images_and_windows_are_encoded_once_too():
    model = build()
    seen = count_passes(model)
    model.predict_tasks(images(), {task: samples(task) for task in TASKS})  # pose and parts mirror
    assert (seen.calls, seen.images) == (2, 4)
    seen.calls = 0
    windows = {task: dict(crop_size=(32, 48), flip_test=False) for task in ('seg', 'normal')}
    model.predict_tasks(images(), {task: samples(task) for task in windows}, windows)
    assert seen.calls == 3
    other = images(seed=2)
    first = model.predict_tasks(images(), dict(seg=samples('seg')))['seg'][0].pred_sem_seg
    assert not torch.equal(first, model.predict_tasks(other, dict(seg=samples('seg')))['seg'][0].pred_sem_seg)


def test_samples_of_several_tasks_are_predicted_each_by_its_head():
    model, inputs = build(), images(4)
    mixed = [samples('seg')[0], samples('pose')[0], samples('seg')[1], samples('normal')[0]]
    found = model.predict(inputs, mixed)
    assert [id(sample) for sample in found] == [id(sample) for sample in mixed]
    assert 'pred_sem_seg' in found[0] and 'pred_instances' in found[1] and 'pred_normal' in found[3]
    want = alone(model, 'sapiens2', 'seg').predict(inputs[[0, 2]], samples('seg'))
    assert torch.equal(found[2].pred_sem_seg, want[1].pred_sem_seg)


def test_weights_of_losses():
    plain, weighted = build(), build(loss_weights=dict(seg=3))
    for task in TASKS:
        one, two = (model(images(), samples(task), mode='loss') for model in (plain, weighted))
        for name, value in one.items():
            factor = 3 if task == 'seg' and 'loss' in name else 1
            assert float(two[name].detach()) == pytest.approx(float(value.detach()) * factor, rel=1e-6)


@families
def test_a_frozen_encoder_trains_the_heads_alone(family):
    backbone = dict(BACKBONES[family], frozen_stages=2)
    model = MODELS.build(dict(type='MultiTaskEstimator', backbone=backbone, tasks=TASKS)).train()
    for task in TASKS:
        sum(value for key, value in model(images(), samples(task), mode='loss').items() if 'loss' in key).backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained and trained == {name for name, _ in model.named_parameters() if name.startswith('tasks.')}


def test_learning_rates_decay_with_the_depth_of_the_encoder():
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1))
    model = build()
    built = ParamGroupConstructor(wrapper, dict(layer_decay_rate=0.5, no_decay_1d=True))(model)
    rates = {id(p): group['lr'] for group in built.optimizer.param_groups for p in group['params']}
    assert {rates[id(p)] for name, p in model.named_parameters() if name.startswith('tasks.')} == {1.0}
    assert rates[id(model.backbone.patch_embed.projection.weight)] == 0.125
    assert len(rates) == len(list(model.parameters()))


def test_a_head_starts_from_a_model_of_its_task(tmp_path):
    donor = alone(build(), 'sapiens2', 'pose')
    torch.save(dict(state_dict=donor.state_dict()), tmp_path / 'pose.pth')
    start = dict(type='Pretrained', checkpoint=str(tmp_path / 'pose.pth'))
    parts = dict(TASKS, pose=dict(TASKS['pose'], init_cfg=start))
    model = MODELS.build(dict(type='MultiTaskEstimator', backbone=BACKBONES['sapiens2'], tasks=parts))
    model.init_weights()
    own = model.tasks['pose'].state_dict()
    assert own and all(torch.equal(value, donor.state_dict()[key]) for key, value in own.items())
    assert not torch.equal(model.backbone.cls_token, donor.backbone.cls_token)
    parts = dict(TASKS, normal=dict(TASKS['normal'], init_cfg=start))
    model = MODELS.build(dict(type='MultiTaskEstimator', backbone=BACKBONES['sapiens2'], tasks=parts))
    with pytest.raises(
        ValueError, match=r'(?s)only .*% of the model would be loaded.*pose.pth \(tasks.normal.init_cfg\)'
    ):
        model.init_weights()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(tasks={}), 'expected the config of an estimator for each task'),
        (dict(tasks=dict(TASKS, keys=TASKS['seg'])), "'keys' cannot be the name of a task"),
        (dict(tasks={'my pose': TASKS['pose']}), "'my pose' cannot be the name"),
        (dict(tasks={'gloss': TASKS['seg']}), "'gloss' cannot be the name of a task: its metrics would count as losses"),
        (dict(tasks=dict(seg=dict(TASKS['seg'], backbone={}))), r'tasks.seg.backbone: all tasks share one'),
        (dict(tasks=dict(seg=dict(TASKS['seg'], data_preprocessor={}))), r'set by model.data_preprocessor'),
        (dict(tasks=dict(seg=dict(type='DeconvHead'))), r"tasks.seg.type='DeconvHead' is not an estimator"),
        (dict(tasks=dict(seg=dict(TASKS['seg'], heads=2))), "has no argument 'heads'; did you mean 'head'"),
        (dict(tasks=dict(seg=dict(TASKS['seg'], test_cfg=dict(flip=True)))), "unknown key 'flip'; did you mean 'flip_test'"),
        (dict(loss_weights=dict(segs=1)), "loss_weights: this model has no task 'segs'; did you mean 'seg'"),
        (dict(loss_weights=dict(seg=0)), r'loss_weights.seg=0: expected a number above 0'),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MODELS.build({**config(), **changes})


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match='heads'):
        MODELS.build(config(heads={}))


def test_batches_that_fit_no_single_task_are_refused():
    model = build()
    with pytest.raises(ValueError, match=r"samples of seg and pose.*type='TaskSampler'"):
        model(images(), [samples('seg')[0], samples('pose')[0]], mode='loss')
    with pytest.raises(ValueError, match=r'0.jpg names no task'):
        model(images(), samples('seg', named=False), mode='loss')
    (sample,) = samples('seg', 1)
    sample.set_metainfo(dict(task='sag'))
    with pytest.raises(ValueError, match="no task 'sag'; did you mean 'seg'"):
        model(images(1), [sample], mode='predict')
    with pytest.raises(ValueError, match="no task 'depth'"):
        model.predict_tasks(images(), dict(depth=[]))
    with pytest.raises(ValueError, match="unknown key 'flips'"):
        model.predict_tasks(images(), dict(seg=samples('seg')), dict(seg=dict(flips=True)))


def test_members_are_known_by_their_names():
    model = build()
    for whole in (model, config()):
        assert [task_of(part).name for part in members_of(whole).values()] == ['normal', 'pose', 'seg']
        with pytest.raises(ValueError, match=r'several tasks \(normal, pose, seg\): choose one'):
            task_of(whole)
    assert members_of(model.tasks['seg']) == {} and member_of(model, 'seg', 'x') is model.tasks['seg']
    assert member_of(model.tasks['seg'], None, 'x') is model.tasks['seg']
    with pytest.raises(
        ValueError, match=r"hook.task='sig': the model has the tasks normal, pose, seg; did you mean 'seg'"
    ):
        member_of(model, 'sig', 'hook.task')
    with pytest.raises(ValueError, match='one task, which needs no name'):
        member_of(model.tasks['seg'], 'seg', 'hook.task')
