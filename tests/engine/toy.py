"""Runs of a linear model in this process."""

import itertools

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from sapiens.datasets import ResumableSampler
from sapiens.engine import Runner
from sapiens.structures import LoaderRecord

_number = itertools.count()


class Numbers(Dataset):
    metainfo = dict(sigmas=np.arange(3.0), names=('a', 'b'))

    def __init__(self, length=10):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, draw):
        index = getattr(draw, 'index', draw)
        return torch.linspace(-1, 1, 4) * (index + 1)


def collate(samples):
    bad = [('x\udcff.png', 'it is empty')] if samples[0][3] == 1 else []  # sample 0
    return dict(inputs=torch.stack(samples), loader=LoaderRecord(bad=bad, samples=len(samples)))


class Linear(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 4)
        self.seen = []

    def forward(self, inputs, loader=None, mode='tensor'):
        assert mode == 'predict' or loader is None
        self.seen.append(inputs.shape[0])
        out = self.backbone(inputs)
        return dict(loss=out.square().mean() + torch.rand(())) if mode == 'loss' else [{} for _ in out]


class Scores(BaseMetric):
    """Returns the next of some scores at each evaluation."""

    default_prefix = 'toy'

    def __init__(self, scores=(1.0, 2.0, 3.0)):
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(loss=next(self.scores))


def make_runner(work_dir, length=10, batch=2, sampler=None, hooks=(), scores=None, accumulate=1, lr=0.1, **kwargs):
    """A runner over ``length // batch`` iterations an epoch; ``kwargs`` are arguments of the runner."""
    dataset = Numbers(length)
    loader = dict(batch_size=batch, dataset=dataset, collate_fn=dict(type=collate), drop_last=True)
    kwargs.setdefault('train_cfg', dict(type='TrainLoop', max_iters=10))
    if scores is not None:
        kwargs.update(
            val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
            val_cfg=dict(type='ValLoop'),
            val_evaluator=[Scores(scores)],
        )
    default_hooks = dict(sampler_seed=None, stop=dict(type='StopHook'), logger=dict(type='LoggerHook', interval=1))
    torch.manual_seed(0)
    return Runner(
        model=Linear(),
        work_dir=str(work_dir),
        train_dataloader=dict(loader, sampler=sampler or dict(type=ResumableSampler)),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=lr, weight_decay=0.1),
            accumulative_counts=accumulate,
            constructor='ParamGroupConstructor',
            paramwise_cfg=dict(no_decay_1d=True),
        ),
        default_hooks={**default_hooks, **kwargs.pop('default_hooks', {})},
        custom_hooks=list(hooks),
        default_scope='sapiens',
        experiment_name=f'toy{next(_number)}',
        randomness=dict(seed=1),
        log_processor=dict(by_epoch=False),
        **kwargs,
    )
