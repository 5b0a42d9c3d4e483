"""A training step whose images have the labels of several tasks."""

import pytest
import torch

from .multi_task import TASKS, build, images, samples
from .test_multi_task import count_passes


def joint(names='normal+pose+seg', count=2):
    """Samples with all labels; each map is valid in its own place."""
    parts = {task: samples(task, count, named=False) for task in TASKS}
    made = []
    for index in range(count):
        sample = parts['normal'][index]
        sample.set_metainfo(dict(task=names))
        sample.gt_sem_seg = parts['seg'][index].gt_sem_seg.to(torch.uint8)
        sample.gt_instance_labels = parts['pose'][index].gt_instance_labels
        for number, name in enumerate(('sem_seg', 'normal')):
            valid = torch.ones_like(sample.valid_mask)
            valid[number * 20 : number * 20 + 20] = False
            sample.set_field(valid, f'valid_{name}')
        made.append(sample)
    return made


def alike(task, count=2):
    """Samples of one task with the labels of :func:`joint`."""
    made = samples(task, count)
    if task != 'pose':
        name = 'sem_seg' if task == 'seg' else task
        for sample, whole in zip(made, joint(count=count), strict=True):
            sample.valid_mask = whole.get(f'valid_{name}')
            if task == 'seg':
                sample.gt_sem_seg = whole.gt_sem_seg
    return made


def test_a_step_of_several_tasks_is_the_sum_of_their_steps_and_encodes_once():
    model = build(loss_weights=dict(seg=2.0))
    seen = count_passes(model)
    losses = model(images(), joint(), mode='loss')
    assert (seen.calls, seen.images) == (1, 2)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    for task in TASKS:
        single = model(images(), alike(task), mode='loss')
        assert single.keys() <= losses.keys()
        for name, value in single.items():
            assert torch.allclose(value, losses[name], rtol=1e-5), name
        sum(value for name, value in single.items() if 'loss' in name).backward()
    for name, value in model.named_parameters():
        if name in gradients:
            assert torch.allclose(gradients[name], value.grad, rtol=1e-3, atol=1e-5), name
    assert {name.split('.')[1] for name in gradients if name.startswith('tasks.')} == set(TASKS)


def test_where_a_map_is_valid_counts_for_its_task_alone():
    model = build()
    first = model(images(), joint(), mode='loss')
    changed = joint()
    for sample in changed:
        sample.valid_normal[:] = False
    second = model(images(), changed, mode='loss')
    assert torch.equal(first['seg_loss_ce'], second['seg_loss_ce']) and torch.equal(
        first['pose_loss'], second['pose_loss']
    )
    assert all(value == 0 for name, value in second.items() if name.startswith('normal_loss'))


def test_some_of_the_tasks_and_different_ones():
    model = build()
    assert {name.split('_')[0] for name in model(images(), joint('pose+seg'), mode='loss')} == {'pose', 'seg'}
    with pytest.raises(ValueError, match=r'a batch has samples of pose\+seg and seg'):
        model(images(), [joint('pose+seg')[0], joint('seg')[1]], mode='loss')
    with pytest.raises(ValueError, match="data: this model has no task 'depth'"):
        model(images(), joint('depth+seg'), mode='loss')
