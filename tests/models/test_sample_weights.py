"""Weights of samples: weight 0 equals absence, weight w equals w samples, for every registered loss and head."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

import sapiens.models  # noqa: F401  registers the losses
from sapiens.models import MAE, BoxGIoULoss, BoxL1Loss, CenterFocalLoss, HeatmapCrossEntropyLoss, HeatmapMSELoss
from sapiens.models.codecs.heatmap_target import HeatmapTarget
from sapiens.models.losses.base import DenseLoss
from sapiens.models.losses.weights import SampleWeights
from sapiens.registry import MODELS
from sapiens.utils.batch_labels import stack_labels

from ..ranks import on_ranks
from . import multi_task
from . import test_boxes as boxes
from . import test_dense_estimator as dense
from . import test_dense_losses as first
from . import test_pose_estimator as pose
from . import test_sapiens2_losses as second
from . import test_sapiens2_tasks as sapiens2


def person_data(loss, batch, seed):
    """A batch with three people in each sample: output, target, and valid cells or weights of cells."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.stack([torch.randperm(48, generator=generator)[:3] for _ in range(batch)])
    places = torch.zeros(batch, 48).scatter(1, at, 1.0).view(batch, 8, 6)
    if loss.part == 'center':
        heat = torch.maximum(0.9 * torch.rand(batch, 8, 6, generator=generator), places)[:, None]
        return torch.randn(batch, 1, 8, 6, generator=generator), heat, torch.ones(batch, 8, 6, dtype=torch.bool)
    output, target = (0.5 + torch.rand(batch, 4, 8, 6, generator=generator) for _ in range(2))
    return output, target, places


PERSON = [(loss, person_data) for loss in (CenterFocalLoss(), BoxGIoULoss(), BoxL1Loss())]
DENSE = [(loss, first.data) for loss in first.ALL] + [(loss, second.data) for loss in second.ALL + second.PUBLISHED]
DENSE += PERSON
NAMES = [f'{type(loss).__name__}-{index}' for index, (loss, _) in enumerate(DENSE)]
HEATMAP = [HeatmapMSELoss(), HeatmapMSELoss(top_k=3), HeatmapCrossEntropyLoss()]
WEIGHTS = torch.tensor([2.0, 0.0, 1.0, 3.0])
# Rows of the batch in which each sample occurs as often as its weight says.
REPEATED = [0, 0, 2, 3, 3, 3]


def test_every_registered_loss_and_head_is_tested():
    def registered(package):
        return {kind for kind in MODELS.module_dict.values() if kind.__module__.startswith(package)}

    tested = {type(loss) for loss, _ in DENSE} | {type(loss) for loss in HEATMAP}
    assert tested == registered('sapiens.models.losses.')
    heads = {MODELS.get(type(model.head).__name__) for model, *_ in estimators().values()}
    assert heads == registered('sapiens.models.heads.')


# ---------------------------------------------------------------------- losses


def rows_of(value, rows):
    if isinstance(value, dict):
        return {name: part[rows] for name, part in value.items()}
    return value[rows]


def loss_and_gradients(loss, data, rows, weights=None):
    """The loss of some rows of a batch of four, and its gradients summed over the copies of each row."""
    output, target, valid = data(loss, batch=4, seed=3)
    leaves = {name: value.clone().requires_grad_() for name, value in second.maps_of(output).items()}
    given = leaves if isinstance(output, dict) else leaves['']
    options = {} if weights is None else dict(weights=SampleWeights(weights[rows]).relative)
    value = loss(rows_of(given, rows), rows_of(target, rows), kept(valid[rows], options), **options)
    value.backward()
    return value.detach(), [torch.zeros_like(one) if one.grad is None else one.grad for one in leaves.values()]


def kept(valid, options):
    return valid * (options['weights'] > 0)[:, None, None] if options else valid


@pytest.mark.parametrize(('loss', 'data'), DENSE, ids=NAMES)
def test_a_sample_counts_as_often_as_its_weight(loss, data):
    value, gradients = loss_and_gradients(loss, data, [0, 1, 2, 3], WEIGHTS)
    expected, repeated = loss_and_gradients(loss, data, REPEATED)
    torch.testing.assert_close(value, expected)
    for one, other in zip(gradients, repeated, strict=True):
        torch.testing.assert_close(one, other)
        assert not one[1].any()


@pytest.mark.parametrize(('loss', 'data'), DENSE, ids=NAMES)
def test_equal_weights_change_nothing_and_none_no_bit(loss, data):
    rows = [0, 1, 2, 3]
    value, gradients = loss_and_gradients(loss, data, rows)
    for weights in (torch.ones(4), torch.full((4,), 1e-4)):
        found, others = loss_and_gradients(loss, data, rows, weights)
        torch.testing.assert_close(found, value)
        for one, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(one, other)
    again, others = loss_and_gradients(loss, data, rows)
    assert torch.equal(value, again) and all(map(torch.equal, gradients, others))
    assert loss._weights is None


@pytest.mark.parametrize(('loss', 'data'), DENSE, ids=NAMES)
def test_no_sample_at_all(loss, data):
    value, gradients = loss_and_gradients(loss, data, [0, 1], torch.zeros(4))
    assert value == 0 and not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize('loss', HEATMAP, ids=[f'{type(loss).__name__}-{index}' for index, loss in enumerate(HEATMAP)])
def test_heatmap_losses_are_of_single_samples(loss):
    generator = torch.Generator().manual_seed(1)
    output = torch.randn(4, 5, 8, 6, generator=generator)
    target = HeatmapTarget(torch.rand(4, 5, 8, generator=generator), torch.rand(4, 5, 6, generator=generator))
    weights = torch.ones(4, 5)
    together = loss(output, target, weights)
    for row in range(4):
        one = HeatmapTarget(target.along_y[row : row + 1], target.along_x[row : row + 1])
        torch.testing.assert_close(loss(output[row : row + 1], one, weights[row : row + 1])[0], together[row])


# ---------------------------------------------------------------------- estimators


def estimators():
    """Models with images and labeled samples, four of each."""
    found = {'pose': (pose.tiny(), *pose.batch(4))}
    for task in dense.TASKS:
        found[task] = dense.tiny(task), *dense.batch(task, 4)
    for task in sapiens2.HEADS:
        samples = [sapiens2.sample(task, seed=seed) for seed in range(4)]
        found[task] = sapiens2.model(task), torch.randn(4, 3, *dense.SIZE), samples
    # Normals of the almost flat output of an untrained network are rounding errors.
    del found['pointmap'][0].loss_modules['normal']
    samples = [boxes.sample(*rows) for rows in (boxes.ROWS, boxes.ROWS[:1], boxes.ROWS[1:], boxes.ROWS[:2])]
    found['person'] = boxes.build(), torch.randn(4, 3, *boxes.SIZE[::-1]), samples
    several = multi_task.build()
    for task in multi_task.TASKS:
        found[f'{task} of several'] = several, multi_task.images(4), multi_task.samples(task, 4)
    for task in ('seg', 'normal'):  # heads of their own, without the model of several tasks
        found[f'{task} alone'] = several.tasks[task], multi_task.images(4), multi_task.samples(task, 4)
    return {
        name: (ModelWithHead(model) if not hasattr(model, 'head') else model, images, samples)
        for name, (model, images, samples) in found.items()
    }


class ModelWithHead(nn.Module):
    """A model of several tasks, whose head is the first one."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.__dict__['head'] = next(iter(model.tasks.values())).head

    def forward(self, *args, **options):
        return self.model(*args, **options)


ESTIMATORS = estimators()


def step(name, rows, weights=None, labels=False):
    """Values of a training step and the gradients of all parameters."""
    model, images, samples = ESTIMATORS[name]
    chosen = [samples[row].clone() for row in rows]
    for row, sample in zip(rows, chosen, strict=True):
        if weights is not None:
            sample.set_metainfo(dict(weight=float(weights[row])))
    model.zero_grad()
    options = dict(labels=stack_labels(chosen, dense.SIZE)) if labels else {}
    found = model.train()(images[rows], chosen, mode='loss', seeds=torch.tensor(rows), **options)
    sum(value for key, value in found.items() if 'loss' in key).backward()
    return found, {key: one.grad.clone() for key, one in model.named_parameters() if one.grad is not None}


def assert_equal(one, other):
    for values, expected in zip(one, other, strict=True):
        assert values.keys() == expected.keys()
        # Rounding is relative to the largest numbers that are added.
        atol = 1e-5 * max(float(value.abs().max()) for value in expected.values())
        for name, value in values.items():
            torch.testing.assert_close(
                value, expected[name], rtol=2e-3, atol=atol, msg=lambda text, n=name: f'{n}: {text}'
            )


@pytest.mark.parametrize('labels', [False, True])
@pytest.mark.parametrize('name', ESTIMATORS)
def test_a_sample_of_weight_0_equals_an_absent_one(name, labels):
    weights = torch.tensor([1.0, 0.0, 1.0, 1.0])
    assert_equal(step(name, [0, 1, 2, 3], weights, labels), step(name, [0, 2, 3], labels=labels))


@pytest.mark.parametrize('name', ESTIMATORS)
def test_weights_are_those_of_a_repetition(name):
    found, gradients = step(name, [0, 1, 2, 3], WEIGHTS)
    expected, repeated = step(name, REPEATED)
    losses = [{key: value for key, value in values.items() if 'loss' in key} for values in (found, expected)]
    assert_equal((losses[0], gradients), (losses[1], repeated))


def test_weights_of_a_loss_of_another_kind_are_refused():
    class Own(nn.Module):
        name = 'own'

        def forward(self, output, target, valid):
            return output.mean()

    model, images, samples = dense.tiny('normal'), *dense.batch('normal', 2)
    model.loss_modules['own'], model.loss_targets['own'] = Own(), 'normal'
    samples[0].set_metainfo(dict(weight=2.0))
    with pytest.raises(ValueError, match='Own does not weigh samples'):
        model.train()(images, samples, mode='loss')


def test_pretraining_weighs_images():
    torch.manual_seed(0)
    backbone = dict(type='SapiensViT', arch=pose.TINY, img_size=(64, 48), with_cls_token=True, out_type='raw')
    model = MAE(backbone, dict(embed_dims=16, num_layers=1, num_heads=2), mask_ratio=0.75)
    images, seeds = torch.randn(4, 3, 64, 48), torch.arange(4)
    value = model(images, mode='loss', labels=dict(sample_weights=WEIGHTS), seeds=seeds)['loss']
    expected = model(images[REPEATED], mode='loss', seeds=seeds[REPEATED])['loss']
    torch.testing.assert_close(value, expected)
    assert not torch.allclose(value, model(images, mode='loss', seeds=seeds)['loss'])


# ---------------------------------------------------------------------- several processes


def shares(reduce):
    """What each process computes of two samples, as a mean over the processes."""
    rank, world = dist.get_rank(), dist.get_world_size()
    rows, found = [2 * rank, 2 * rank + 1], []
    for loss, data in DENSE:
        if reduce == 'global' and loss.divides_by_valid:
            loss.reduce = reduce
        value, gradients = loss_and_gradients(loss, data, rows, WEIGHTS)
        found.append((value / world, [gradient / world for gradient in gradients]))
    return found


def test_two_processes_equal_one_with_global_means(tmp_path):
    ranks = on_ranks(2, shares, tmp_path, 'global')
    for index, (loss, data) in enumerate(DENSE):
        value, gradients = loss_and_gradients(loss, data, [0, 1, 2, 3], WEIGHTS)
        torch.testing.assert_close(
            sum(rank[index][0] for rank in ranks), value, msg=lambda t, i=index: f'{NAMES[i]}: {t}'
        )
        for place, gradient in enumerate(gradients):
            torch.testing.assert_close(sum(rank[index][1][place] for rank in ranks), gradient)


def test_a_mean_of_a_process_counts_by_its_weights(tmp_path):
    ranks = on_ranks(2, shares, tmp_path, 'process')
    for index, (loss, data) in enumerate(DENSE):
        if getattr(loss, 'clamp', None):  # a limit is that of the mean of the process
            continue
        own = [loss_and_gradients(loss, data, rows, WEIGHTS)[0] for rows in ([0, 1], [2, 3])]
        expected = (2 * own[0] + 4 * own[1]) / 6
        torch.testing.assert_close(
            sum(rank[index][0] for rank in ranks), expected, msg=lambda t, i=index: f'{NAMES[i]}: {t}'
        )


def test_an_evaluation_exchanges_nothing():
    with torch.no_grad():
        assert SampleWeights(torch.tensor([1.0, 3.0])).relative.tolist() == [0.5, 1.5]


def test_losses_of_your_own_weigh_by_the_means_of_the_base():
    class Own(DenseLoss):
        default_name = 'own'

        def forward(self, output, target, valid):
            return self.loss_weight * self.mean_where(valid, (output - target).abs().sum(1))

    value, _ = loss_and_gradients(
        Own(), lambda loss, **options: first.data(first.NORMAL[0], **options), [0, 1, 2, 3], WEIGHTS
    )
    expected, _ = loss_and_gradients(Own(), lambda loss, **options: first.data(first.NORMAL[0], **options), REPEATED)
    torch.testing.assert_close(value, expected)
