"""A resume with another model than that of the checkpoint."""

import pytest
import torch
from torch import nn

from sapiens.engine.equal_model import require_equal_model

from . import toy


def checkpoint(folder, format='file'):
    """The checkpoint of a run of one iteration."""
    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False, format=format))
    toy.make_runner(folder, default_hooks=hooks, train_cfg=dict(type='TrainLoop', max_iters=1)).train()
    return folder / ('iter_1' if format == 'folder' else 'iter_1.pth')


class Wide(toy.Linear):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 5)


class Frozen(toy.Linear):
    def __init__(self):
        super().__init__()
        self.backbone.bias.requires_grad_(False)


class Larger(toy.Linear):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 4)


@pytest.mark.parametrize('format', ['file', 'folder'])
@pytest.mark.parametrize(
    ('other', 'difference'),
    [
        (Wide, r'its backbone.weight has the shape \(4, 4\), and \(5, 4\) in this config \(1 other difference\)'),
        (Larger, r'it has no head.weight, which this config has \(2 other differences\)'),
        (Frozen, r'its optimizer trains 2 tensors, and 1 in this config \(frozen parts differ\)'),
    ],
)
def test_nothing_is_replaced(tmp_path, monkeypatch, format, other, difference):
    path = checkpoint(tmp_path / 'first', format)
    monkeypatch.setattr(toy, 'Linear', other)
    runner = toy.make_runner(tmp_path / 'second', resume=True, load_from=str(path))
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    with pytest.raises(
        ValueError, match=f'{path} is of another model or training: {difference}. Resume .* load_from=PATH'
    ):
        runner.train()
    assert all(torch.equal(value, before[name]) for name, value in runner.model.state_dict().items())


def test_groups_differ():
    model = nn.Linear(2, 2)
    shapes = {name: value.shape for name, value in model.named_parameters()}
    optimizer = torch.optim.SGD([dict(params=[value]) for value in model.parameters()], lr=0.1)
    require_equal_model(model, optimizer, shapes, optimizer.state_dict()['param_groups'], 'x.pth')
    with pytest.raises(ValueError, match='groups of 2 tensors, and of 1, 1 in this config'):
        require_equal_model(model, optimizer, shapes, [dict(params=[0, 1])], 'x.pth')
    with pytest.raises(ValueError, match='it has head, which this config has not'):
        require_equal_model(
            model, optimizer, {**shapes, 'head': (1,)}, optimizer.state_dict()['param_groups'], 'x.pth'
        )
