"""Tiny models of every task with random weights and non-trivial outputs."""

import torch
from mmengine.config import Config

from sapiens.registry import MODELS

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
SIZE = (64, 48)  # h, w
SKELETON = dict(name='five', keypoints=['head', 'left_hand', 'right_hand', 'left_foot', 'right_foot'],
                links=[('left_hand', 'head')])  # fmt: skip
CLASSES = dict(name='four', classes=['background', 'skin', 'left_arm', 'right_arm'])
BACKBONE = dict(type='SapiensViT', arch=ARCH, img_size=SIZE, patch_padding=2)
HEAD = dict(type='DenseHead', deconv_channels=(16, 8), conv_channels=(8,))
MODELS_OF = dict(
    features=dict(
        type='MAE', backbone=dict(type='SapiensViT', arch=ARCH, img_size=SIZE, with_cls_token=True, pos_embed='sincos'),
        decoder=dict(num_layers=1, embed_dims=16, num_heads=2),
    ),
    pose=dict(
        type='PoseEstimator', backbone=BACKBONE, skeleton=SKELETON, codec=dict(type='UDPHeatmap', sigma=1.5),
        head=dict(type='HeatmapHead', deconv_channels=(16, 16), conv_channels=(16,)),
    ),
    sem_seg=dict(
        type='DenseEstimator', backbone=BACKBONE, head=HEAD, task=dict(type='SegTask', classes=CLASSES),
        losses=dict(type='SegCrossEntropyLoss'),
    ),
    depth=dict(type='DenseEstimator', backbone=BACKBONE, head=HEAD, task=dict(type='DepthTask')),
    normal=dict(type='DenseEstimator', backbone=BACKBONE, head=HEAD, task=dict(type='NormalTask')),
)  # fmt: skip


def config(task: str, **changes) -> Config:
    return Config(dict(model=dict(MODELS_OF[task], **changes)))


def checkpoint(task: str, folder, cfg: Config | None = None) -> str:
    """Write random weights. The last layer is large, so that heatmaps have peaks above the clip of the logarithm."""
    torch.manual_seed(0)
    model = MODELS.build((cfg or config(task)).model)
    model.init_weights()
    if hasattr(getattr(model, 'head', None), 'final_layer'):
        torch.nn.init.normal_(model.head.final_layer.weight, std=0.5)
    path = folder / f'{task}.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return str(path)
