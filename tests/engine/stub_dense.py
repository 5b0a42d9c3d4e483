"""A dense estimator that returns the labels with a given error, and images for it. Not collected."""

import types

import numpy as np
import torch
from mmengine.model import BaseModel
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from sapiens.metainfo import get_classes
from sapiens.structures import DenseDataSample

SIZE = (32, 24)  # h, w of a crop and of an image


def truth(kind, index=0, size=SIZE):
    """Labels of an image, as a data sample has them; other ones for each."""
    rows = torch.arange(size[0]).float()[:, None].expand(size)
    columns = torch.arange(size[1]).float()[None].expand(size)
    if kind == 'sem_seg':
        return ((rows // 8 + columns // 8 + index) % 4).long()
    if kind == 'depth':
        return (2 + index + 0.05 * rows)[None]
    angle = (columns - size[1] / 2) / size[1] + 0.1 * index
    return torch.stack([angle.sin(), torch.zeros(size), -angle.cos()])


def valid_mask(size=SIZE):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[4:-4, 4:-4] = True
    return mask


class StubDense(BaseModel):
    """Finds the labels of image 0 with an error: class 1 for class 2, relative depth, normals turned up by 10 degrees. Draws
    random numbers as it does."""

    def __init__(self, kind):
        super().__init__()
        self.backbone = nn.Linear(1, 1)
        self.task = types.SimpleNamespace(kind=kind, classes=get_classes('lip20'))
        self.task_name = dict(sem_seg='seg').get(kind, kind)
        self.calls = 0

    def forward(self, inputs, data_samples=None, mode='tensor', loader=None, labels=None):
        if mode == 'loss':
            return dict(loss=self.backbone(inputs.float().mean().view(1)).square().sum() + torch.rand(()))
        assert not self.training
        np.random.rand(), torch.rand(1)
        self.calls += 1
        for sample in data_samples:
            found = truth(self.task.kind, size=sample.get('ori_shape'))
            if self.task.kind == 'sem_seg':
                sample.pred_sem_seg = torch.where(found == 2, 1, found)
            elif self.task.kind == 'depth':
                sample.pred_depth = (found - found.min()) / (found.max() - found.min())
            else:
                angle = torch.deg2rad(torch.tensor(10.0))
                x, _, z = found
                sample.pred_normal = torch.stack([x, z * angle.sin(), z * angle.cos()])
        return data_samples


class Images(Dataset):
    """Gray images with labels of one kind.

    Args:
        folder: where the images are written.
        kind: of the labels.
        count: of the images.
        labelled: with labels.
    """

    metainfo = {}

    def __init__(self, folder, kind, count=8, labelled=True):
        self.kind, self.count, self.labelled = kind, count, labelled
        self.paths = [str(folder / f'{index}.png') for index in range(count)]
        for path in self.paths:
            Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)

    def __len__(self):
        return self.count

    def __getitem__(self, draw):
        index = getattr(draw, 'index', draw)
        meta = dict(img_path=self.paths[index], sample_idx=index, ori_shape=SIZE, img_shape=SIZE)
        sample = DenseDataSample(metainfo=meta)
        if self.labelled:
            sample.set_field(truth(self.kind, index), f'gt_{self.kind}')
            sample.valid_mask = valid_mask()
        return dict(inputs=torch.full((3, *SIZE), 10 * index, dtype=torch.uint8), data_samples=sample)
