"""Classes of mmpose, mmseg and MMEngine that do not work here, and what to take instead.

``docs/openmmlab.md`` has the same list for readers.
"""

import re
from collections.abc import Iterator
from typing import Any

from mmengine.device import is_cuda_available

__all__ = ['refuse_foreign']

# Types in configs, with or without their scope, and the advice.
ADVICE = {
    r'Coco(WholeBody)?Metric': (
        "take type='KeypointMetric', skeleton='coco17' (or 'wholebody133'), ann_file=..., which reports the same numbers"
    ),
    r'(mmseg\.)?(IoU|Cityscapes)Metric': "take type='SegMetric', classes=..., which reports mIoU, mAcc and aAcc as fractions",
    r'mmseg\.DepthMetric': "take type='DepthMetric' without the scope",
    r'mmpose\.\w+Dataset\w*|(Coco|CocoWholeBody|BaseCocoStyle|CrowdPose|Aic|Mpii|Halpe|HumanArt)Dataset': (
        "take type='KeypointDataset', skeleton=..., ann_file=..., img_prefix=..., which reads COCO files of any skeleton"
    ),
    r'mmseg\.\w+Dataset\w*|(BaseSeg|ADE20K|Cityscapes|LIP|PascalVOC|PascalContext|COCOStuff)Dataset': (
        "take type='SegmentationDataset', classes=..., images=..., labels=..."
    ),
    r'(Topdown|Bottomup)PoseEstimator': "take type='PoseEstimator' (configs/pose), which works on one person at a time",
    r'(mmseg\.)?(EncoderDecoder|CascadeEncoderDecoder|DepthEstimator)': (
        "take type='DenseEstimator' with task=dict(type='SegTask', classes=...) (configs/seg)"
    ),
    r'mmseg\.\w+Head': "take type='DenseHead'",
    r'mmpose\.(HeatmapHead|UDPHeatmap)': 'take it without the scope: this package has its own',
    r'(mmpose\.|mmseg\.)?(PoseDataPreprocessor|SegDataPreProcessor)': (
        'leave data_preprocessor out: every model normalizes RGB images with the usual mean and deviation'
    ),
    r'(mmpose\.)?Keypoint(OHKM)?MSELoss': "take type='HeatmapMSELoss', with top_k=... for the hardest keypoints",
    r'(mmseg\.)?CrossEntropyLoss': "take type='SegCrossEntropyLoss'",
    r'(mmseg\.)?DiceLoss': "take type='SegDiceLoss'",
    r'(mmpose\.)?TopdownAffine': "take type='LoadPerson', size=(width, height), which decodes the image and cuts the crop",
    r'(mmpose\.)?GenerateTarget': 'leave it out: heatmaps are made on the device, by model.codec',
    r'(mmpose\.)?PackPoseInputs': "take type='PackPose'",
    r'(mmseg\.)?PackSegInputs': "take type='PackDense'",
    r'(mmpose\.)?LoadImage|(mmcv\.)?LoadImageFromFile': (
        'leave it out: LoadPerson, LoadDense, LoadResize and LoadRandomResizedCrop decode the image'
    ),
    r'(mmseg\.|mmcv\.)?LoadAnnotations': "take type='LoadLabels', fields=['sem_seg']",
    r'(mmpose\.)?PoseVisualizationHook': (
        "take type='PosePictureHook', interval=... for figures of training, `sapiens test --show-dir DIR` for those of a test"
    ),
    r'(mmseg\.)?SegVisualizationHook': (
        "take type='DenseFigureHook', interval=... for figures of training, `sapiens test --show-dir DIR` for those of a test"
    ),
    r'(mmpose\.|mmseg\.)?(Pose|Pose3d|Seg)LocalVisualizer': "take type='Visualizer'",
    r'(mmpose\.|mmseg\.)?(LayerDecayOptim\w+Constructor|LearningRateDecayOptimizerConstructor)': (
        "take constructor='ParamGroupConstructor', paramwise_cfg=dict(layer_decay_rate=...)"
    ),
}
AMP = (
    "it needs a GPU: take type='OptimWrapper', precision='bf16', which needs none and no loss scale (on GPUs that have bf16, "
    "precision='auto', the default, is bf16)"
)
MODELS_OF_MMPOSE = (
    'models of mmpose need mmdet and the compiled mmcv, which are not installed: take those of this package '
    '(configs/pose), or an encoder of mmpretrain'
)


def refuse_foreign(cfg: Any, source: str) -> None:
    """Refuse types of other OpenMMLab packages that would fail later.

    Args:
        cfg: a config, or any part of one.
        source: what the config comes from, for messages.

    Raises:
        ValueError: with the key, the type, and what to take instead.
    """
    for key, name in _types(cfg):
        advice = next((text for pattern, text in ADVICE.items() if re.fullmatch(pattern, name)), None)
        if re.fullmatch(r'(mmengine\.)?AmpOptimWrapper', name) and not is_cuda_available():
            advice = AMP
        elif advice is None and name.startswith('mmpose.') and key.startswith('model.'):
            advice = MODELS_OF_MMPOSE
        if advice is not None:
            raise ValueError(f'{source}: {key}={name!r} does not work here: {advice} (docs/openmmlab.md)')


def _types(node: Any, path: str = '') -> Iterator[tuple[str, str]]:
    """(flat key, value) of every type and constructor that is given by name."""
    if isinstance(node, dict):
        for key, value in node.items():
            where = f'{path}.{key}' if path else str(key)
            if key in ('type', 'constructor') and isinstance(value, str):
                yield where, value
            elif not where.startswith('_'):
                yield from _types(value, where)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _types(value, f'{path}.{index}' if path else str(index))
