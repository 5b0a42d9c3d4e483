"""A tiny model of three tasks, and samples for it."""

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample

SIZE = (64, 48)  # h, w
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
BACKBONES = dict(
    sapiens=dict(type='SapiensViT', arch=ARCH, img_size=SIZE, patch_padding=2),
    sapiens2=dict(type='Sapiens2ViT', arch=ARCH, img_size=SIZE),
)
SKELETON = dict(name='five', keypoints=['head', 'left_hand', 'right_hand', 'left_foot', 'right_foot'])
CLASSES = dict(name='four', classes=['background', 'skin', 'left_arm', 'right_arm'])
DECONV = dict(type='DeconvHead', deconv_channels=(8, 8), conv_channels=(8,))
TASKS = dict(
    pose=dict(
        type='PoseEstimator', head=dict(DECONV, predictor='conv_pose'), skeleton=SKELETON,
        codec=dict(type='UDPHeatmap', sigma=1.0),
    ),
    seg=dict(
        type='DenseEstimator', head=dict(DECONV, predictor='conv_seg'), task=dict(type='SegTask', classes=CLASSES),
        losses=dict(type='SegCrossEntropyLoss', class_weight=None), test_cfg=dict(flip_test=True),
    ),
    normal=dict(
        type='DenseEstimator', task=dict(type='NormalTask'),
        head=dict(type='PixelShuffleHead', upsample_channels=(8, 8), conv_channels=(8,), predictor='conv_normal'),
    ),
)  # fmt: skip


def config(family='sapiens2', **changes) -> dict:
    return {**dict(type='MultiTaskEstimator', backbone=BACKBONES[family], tasks=TASKS), **changes}


def build(family='sapiens2', **changes):
    """A model in evaluation mode whose heads answer to the image."""
    torch.manual_seed(0)
    model = MODELS.build(config(family, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.15)
    return model


def samples(task: str, count=2, named=True) -> list:
    """Labeled samples of a task."""
    random = torch.Generator().manual_seed(3)
    made = []
    for index in range(count):
        meta = dict(img_path=f'{index}.jpg', sample_idx=index, ori_shape=SIZE, img_shape=SIZE)
        meta |= dict(task=task) if named else {}
        if task == 'pose':
            box, size = np.array([[0, 0, 48, 64]], np.float32), np.float32([48, 64])
            sample = PoseDataSample(metainfo=dict(meta, input_center=size / 2, input_scale=size, input_size=(48, 64)))
            sample.gt_instances = InstanceData(bboxes=box, bbox_scores=np.ones(1, np.float32))
            points = torch.rand(1, 5, 2, generator=random) * torch.tensor([47, 63])
            sample.gt_instance_labels = InstanceData(keypoints=points, keypoint_weights=torch.ones(1, 5))
        else:
            sample = DenseDataSample(metainfo=meta)
            sample.valid_mask = torch.ones(SIZE, dtype=torch.bool)
            if task == 'seg':
                sample.gt_sem_seg = torch.randint(0, 4, SIZE, generator=random)
            else:
                sample.gt_normal = torch.nn.functional.normalize(torch.randn(3, *SIZE, generator=random), dim=0)
        made.append(sample)
    return made


def images(count=2, seed=1) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
