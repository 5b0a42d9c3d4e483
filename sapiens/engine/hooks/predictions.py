"""Pictures of what a model predicts, while it trains."""

from abc import abstractmethod
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mmengine.structures import BaseDataElement, InstanceData
from mmpose.structures import PoseDataSample

from sapiens.models import HeatmapCrossEntropyLoss
from sapiens.registry import HOOKS
from sapiens.structures import DenseDataSample
from sapiens.visualization import PosePanelRow, draw_pose_panel

from .drawings import DenseDrawing, DepthDrawing, NormalDrawing, SegDrawing
from .panel import PanelHook

__all__ = [
    'DensePictureHook',
    'DepthPictureHook',
    'NormalPictureHook',
    'PosePictureHook',
    'SegPictureHook',
    'heatmaps_of',
    'output_heatmaps',
]


@HOOKS.register_module()
class PosePictureHook(PanelHook):
    """Writes rows [crop | ground truth | prediction | heatmaps] of augmented training crops; see :class:`PanelHook`.

    Args:
        interval: iterations between pictures; one more is written at the end.
        num_images: rows of the picture.
        threshold: least score of a predicted keypoint that is drawn. Lower than for results, since what a model begins to
            see has low scores.
        heatmaps: draw the last column.
        side: longer side of a tile in pixels; crops are resized to it.
    """

    name = 'pose'

    def __init__(
        self,
        interval: int = 100,
        num_images: int = 8,
        threshold: float = 0.1,
        heatmaps: bool = True,
        side: int = 384,
    ) -> None:
        super().__init__(interval, num_images)
        self.threshold, self.heatmaps, self.side = threshold, heatmaps, side

    def labels(self, sample: PoseDataSample) -> dict:
        kept = dict(name=Path(str(sample.get('img_path', ''))).name)
        if sample.get('id') is not None:
            kept['name'] += f' #{sample.get("id")}'
        if 'gt_instance_labels' in sample:
            labels = sample.gt_instance_labels
            kept.update(keypoints=labels.keypoints[0].cpu().clone(), weights=labels.keypoint_weights[0].cpu().clone())
        return kept

    def sample(self, row: dict, index: int) -> PoseDataSample:
        """A sample whose image is the crop itself, so that predictions come out in its pixels also where it was turned or
        mirrored."""
        height, width = row['image'].shape[1:]
        # mmpose maps the last pixel of a crop to the far end of input_scale; here it shall be the last pixel.
        last = np.array([width - 1, height - 1], np.float32)
        sample = PoseDataSample(
            metainfo=dict(
                sample_idx=index,
                ori_shape=(height, width),
                img_shape=(height, width),
                input_size=(width, height),
                input_center=last / 2,
                input_scale=last,
            )
        )
        box = np.array([[0, 0, width, height]], np.float32)
        sample.gt_instances = InstanceData(bboxes=box, bbox_scores=np.ones(1, np.float32))
        return sample

    def predict(self, model) -> list[PoseDataSample]:
        with output_heatmaps(model, self.heatmaps):
            return super().predict(model)

    def picture(self, model, rows: list[dict], samples: list[PoseDataSample]) -> np.ndarray:
        drawn = [
            PosePanelRow(
                image=row['image'].permute(1, 2, 0).numpy(),
                keypoints=sample.pred_instances.keypoints[0],
                scores=sample.pred_instances.keypoint_scores[0],
                true_keypoints=row['keypoints'].numpy() if 'keypoints' in row else None,
                visible=row['weights'].numpy() if 'weights' in row else None,
                heatmaps=heatmaps_of(sample, model) if self.heatmaps else None,
                name=row['name'],
            )
            for row, sample in zip(rows, samples, strict=True)
        ]
        return draw_pose_panel(drawn, model.skeleton, threshold=self.threshold, side=self.side)


@contextmanager
def output_heatmaps(model, wanted: bool = True):
    """Have the model keep its heatmaps, or not, inside a ``with`` block."""
    before = model.test_cfg
    model.test_cfg = {**before, 'output_heatmaps': wanted}
    try:
        yield
    finally:
        model.test_cfg = before


def heatmaps_of(sample: PoseDataSample, model) -> np.ndarray:
    """(K, H, W) predicted maps of a sample, zero for keypoints that the model was not asked for. A map that equals its target
    has a peak of 1, also where the maps are probabilities."""
    maps = sample.pred_fields.heatmaps.float().cpu().numpy()
    if isinstance(getattr(model, 'loss_module', None), HeatmapCrossEntropyLoss):
        maps = maps * (2 * np.pi * model.codec.sigma**2)  # the sum of a Gaussian with peak 1
    names = model.test_cfg.get('keypoints')
    if names is None:
        return maps
    complete = np.zeros((len(model.skeleton), *maps.shape[1:]), np.float32)
    complete[[model.skeleton.index(name) for name in names]] = maps
    return complete


class DensePictureHook(PanelHook):
    """Writes rows [image | ground truth | prediction | error] of augmented training images; see :class:`PanelHook`.

    Args:
        interval: iterations between pictures; one more is written at the end.
        num_images: rows of the picture.
        drawing: how.
    """

    @abstractmethod
    def __init__(self, interval: int, num_images: int, drawing: DenseDrawing) -> None:
        super().__init__(interval, num_images)
        self.drawing = drawing

    def labels(self, sample: BaseDataElement) -> dict:
        return self.drawing.labels(sample)

    def sample(self, row: dict, index: int) -> DenseDataSample:
        # Predictions come out at the size of the image that the model gets.
        size = tuple(row['image'].shape[1:])
        return DenseDataSample(metainfo=dict(sample_idx=index, ori_shape=size, img_shape=size))

    def picture(self, model, rows: list[dict], samples: list[BaseDataElement]) -> np.ndarray:
        drawn = [
            self.drawing.row(row['image'].permute(1, 2, 0).numpy(), row, self.drawing.prediction(sample))
            for row, sample in zip(rows, samples, strict=True)
        ]
        return self.drawing.panel(model, drawn)


@HOOKS.register_module()
class SegPictureHook(DensePictureHook):
    """Writes rows [image | ground truth | prediction | wrong pixels] of augmented training images, and a legend of the classes
    in them; see :class:`PanelHook`.

    Args:
        interval: iterations between pictures; one more is written at the end.
        num_images: rows of the picture.
        side: longer side of a tile in pixels.
    """

    name = 'segmentation'

    def __init__(self, interval: int = 100, num_images: int = 4, side: int = 384) -> None:
        super().__init__(interval, num_images, SegDrawing(side))


@HOOKS.register_module()
class DepthPictureHook(DensePictureHook):
    """Writes rows [image | ground truth | prediction | error] of augmented training images; see :class:`PanelHook`.

    Args:
        interval: iterations between pictures; one more is written at the end.
        num_images: rows of the picture.
        side: longer side of a tile in pixels.
        alignment: of each prediction to its truth before it is drawn: ``'none'``, ``'median'`` or ``'scale-shift'``, see
            :class:`sapiens.evaluation.DepthMetric`.
    """

    name = 'depth'

    def __init__(
        self, interval: int = 100, num_images: int = 4, side: int = 384, alignment: str = 'scale-shift'
    ) -> None:
        super().__init__(interval, num_images, DepthDrawing(side, alignment))


@HOOKS.register_module()
class NormalPictureHook(DensePictureHook):
    """Writes rows [image | ground truth | prediction | angle between them] of augmented training images; see
    :class:`PanelHook`.

    Args:
        interval: iterations between pictures; one more is written at the end.
        num_images: rows of the picture.
        side: longer side of a tile in pixels.
    """

    name = 'normal'

    def __init__(self, interval: int = 100, num_images: int = 4, side: int = 384) -> None:
        super().__init__(interval, num_images, NormalDrawing(side))
