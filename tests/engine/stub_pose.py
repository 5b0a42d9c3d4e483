"""A pose estimator that returns the labels with an offset, and people for it. Not collected."""

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from mmpose.structures import PoseDataSample
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from sapiens.metainfo import get_skeleton

SIZE = (24, 32)  # w, h of a crop
CENTER, SCALE = np.array([30, 25], np.float32), np.array([24, 32], np.float32)


def crop_points(index=0):
    """(17, 2) pixels of the crop; other ones for each sample."""
    return np.stack([np.linspace(3, 20, 17), np.linspace(5, 27, 17) - index], -1).astype(np.float32)


class StubPose(BaseModel):
    """Finds every keypoint two pixels of the crop to the right of ``crop_points(0)``; draws random numbers as it does."""

    task_name = 'pose'

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(1, 1)
        self.skeleton = get_skeleton('coco17')
        self.test_cfg = dict(output_heatmaps=False, keypoints=None)
        self.asked = []

    def forward(self, inputs, data_samples=None, mode='tensor', loader=None, labels=None):
        if mode == 'loss':
            return dict(loss=self.backbone(inputs.float().mean().view(1)).square().sum() + torch.rand(()))
        assert not self.training
        np.random.rand(), torch.rand(1)
        self.asked.append(self.test_cfg['output_heatmaps'])
        chosen = self.test_cfg['keypoints']
        ids = range(17) if chosen is None else [self.skeleton.index(name) for name in chosen]
        found = np.where(np.isin(np.arange(17), ids)[:, None], crop_points() + np.float32([2, 0]), np.nan)
        for sample in data_samples:
            cells = found / (np.array(SIZE) - 1)
            points = cells * sample.get('input_scale') + sample.get('input_center') - sample.get('input_scale') / 2
            sample.pred_instances = InstanceData(
                keypoints=points[None].astype(np.float32),
                keypoint_scores=np.isfinite(found[None, :, 0]).astype(np.float32),
                bboxes=sample.gt_instances.bboxes,
                bbox_scores=sample.gt_instances.bbox_scores,
            )
            if self.test_cfg['output_heatmaps']:
                maps = torch.zeros(len(ids), 8, 6)
                maps[:, 4, 3] = 1
                sample.pred_fields = PixelData(heatmaps=maps)
        return data_samples


class People(Dataset):
    """Crops of gray images of 60 x 50 pixels.

    Args:
        folder: where the images are written.
        images: number of the image of each person.
        scores: of their boxes.
        labelled: with keypoints.
    """

    metainfo = dict(dataset_name='coco')

    def __init__(self, folder, images=(0, 0, 1), scores=None, labelled=True):
        self.images, self.labelled = images, labelled
        self.scores = scores or [1.0] * len(images)
        self.paths = [str(folder / f'{number}.png') for number in images]
        for path in set(self.paths):
            Image.fromarray(np.full((50, 60, 3), 90, np.uint8)).save(path)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, draw):
        index = getattr(draw, 'index', draw)
        sample = PoseDataSample(
            metainfo=dict(
                img_path=self.paths[index], img_id=self.images[index], id=100 + index, sample_idx=index, ori_shape=(50, 60),
                img_shape=SIZE[::-1], input_size=SIZE, input_center=CENTER, input_scale=SCALE,
            )
        )  # fmt: skip
        truth = InstanceData(bboxes=np.float32([[18, 9, 42, 41]]), bbox_scores=np.float32([self.scores[index]]))
        if self.labelled:
            truth.keypoints = (crop_points(index) + CENTER - SCALE / 2)[None]
            truth.keypoints_visible = np.ones((1, 17), np.float32)
            sample.gt_instance_labels = InstanceData(
                keypoints=torch.from_numpy(crop_points(index))[None], keypoint_weights=torch.ones(1, 17)
            )
        sample.gt_instances = truth
        return dict(inputs=torch.full((3, *SIZE[::-1]), 10 * index, dtype=torch.uint8), data_samples=sample)
