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

# The second family; the middle block has grouped queries where NUM_FULL_BLOCKS is 1.
ARCH2 = dict(ARCH, num_layers=3, num_tokenizer_layers=1)
BACKBONE2 = dict(type='Sapiens2ViT', arch=ARCH2, img_size=SIZE)
BACKBONE_4K = dict(BACKBONE2, tokenizer=True, img_size=(256, 192))
SHUFFLE_HEAD = dict(type='PixelShuffleHead', upsample_channels=(16, 16, 8, 8), conv_channels=(8,))
MODELS_OF |= dict(
    features2=dict(MODELS_OF['features'], backbone=BACKBONE2),
    features_4k=dict(MODELS_OF['features'], backbone=BACKBONE_4K),
    pose2=dict(
        MODELS_OF['pose'], backbone=BACKBONE2,
        head=dict(type='DeconvHead', deconv_channels=(16, 16), conv_channels=(16,), predictor='conv_pose'),
    ),
    parts2=dict(
        MODELS_OF['sem_seg'], backbone=BACKBONE2,
        head=dict(type='DeconvHead', deconv_channels=(16, 16, 8, 8), conv_channels=(8,)),
    ),
    normal2=dict(MODELS_OF['normal'], backbone=BACKBONE2, head=SHUFFLE_HEAD),
    normal_4k=dict(MODELS_OF['normal'], backbone=BACKBONE_4K, head=SHUFFLE_HEAD),
    # The scale branch halves the 4x3 patches once and pools the 2x2 that are left to 3x2 cells.
    pointmap2=dict(
        type='DenseEstimator', backbone=BACKBONE2, task=dict(type='PointmapTask'),
        head=dict(SHUFFLE_HEAD, predictor='conv_pointmap', scale=dict(conv_channels=(16,), hidden=(8,), cells=(3, 2))),
    ),
    matting2=dict(
        type='DenseEstimator', backbone=BACKBONE2, task=dict(type='MattingTask'),
        head=dict(SHUFFLE_HEAD, predictor='conv_matting', sigmoid=True),
    ),
    albedo2=dict(
        type='DenseEstimator', backbone=BACKBONE2, task=dict(type='AlbedoTask'),
        head=dict(SHUFFLE_HEAD, predictor='conv_albedo', norm='rms'),
    ),
)  # fmt: skip


def config(task: str, **changes) -> Config:
    return Config(dict(model=dict(MODELS_OF[task], **changes)))


def checkpoint(task: str, folder, cfg: Config | None = None) -> str:
    """Write random weights. The last layer is large, so that heatmaps have peaks above the clip of the logarithm.
    Attention of the second family counts: its initial layer scale is 1e-4."""
    torch.manual_seed(0)
    model = MODELS.build((cfg or config(task)).model)
    model.init_weights()
    if task.startswith('pose'):
        torch.nn.init.normal_(model.head.last_layer.weight, std=0.5)
    if task.startswith('pointmap'):
        model.head.scale_final_layer[-1].bias.data.fill_(1.5)  # away from 0, below which a scale has no meaning
    for name, parameter in model.named_parameters():
        if name.endswith('attn.gamma.weight'):
            torch.nn.init.ones_(parameter)
        elif '.attn.w' in name and name.endswith('weight'):
            torch.nn.init.normal_(parameter, std=0.3)
    path = folder / f'{task}.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return str(path)
