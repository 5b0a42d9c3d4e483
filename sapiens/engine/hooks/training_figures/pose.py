"""Figures of pose estimation in training."""

from pathlib import Path

import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from sapiens.metainfo.palettes import PALETTES
from sapiens.registry import HOOKS
from sapiens.visualization import PosePanelRow, draw_pose_panel

from ...prediction_options import override_test_cfg
from ..pose_heatmaps import heatmaps_of
from .base import TrainingFigureHook

__all__ = ['PosePictureHook']


@HOOKS.register_module()
class PosePictureHook(TrainingFigureHook):
    """Draws rows [crop | ground truth | prediction | heatmaps] of augmented training crops; see :class:`TrainingFigureHook`.

    Args:
        interval: iterations between figures. The run also writes one at its end.
        num_images: rows of the figure.
        threshold: minimum score of a drawn keypoint. Lower than for results, because scores are low early in training.
        heatmaps: draw the last column.
        side: longer side of a tile in pixels. Crops are resized to it.
        task: of a model of several tasks, the one that is shown.
        palette: see :func:`sapiens.metainfo.palettes.with_palette`.
    """

    name = 'pose'

    def __init__(
        self,
        interval: int = 100,
        num_images: int = 8,
        threshold: float = 0.1,
        heatmaps: bool = True,
        side: int = 384,
        task: str | None = None,
        palette: str = PALETTES[0],
    ) -> None:
        super().__init__(interval, num_images, task)
        self.threshold, self.heatmaps, self.side, self.palette = threshold, heatmaps, side, palette

    def labels(self, sample: PoseDataSample) -> dict:
        kept = dict(name=Path(str(sample.get('img_path', ''))).name)
        if sample.get('id') is not None:
            kept['name'] += f' #{sample.get("id")}'
        if 'gt_instance_labels' in sample:
            labels = sample.gt_instance_labels
            kept.update(keypoints=labels.keypoints[0].cpu().clone(), weights=labels.keypoint_weights[0].cpu().clone())
        return kept

    def sample(self, row: dict, index: int) -> PoseDataSample:
        """Make a sample whose image is the crop itself, so that predictions are in pixels of the augmented crop."""
        height, width = row['image'].shape[1:]
        # mmpose maps the last pixel of a crop to the far end of input_scale, which must be the last pixel here.
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
        with override_test_cfg(model, output_heatmaps=self.heatmaps):
            return super().predict(model)

    def figure(self, model, rows: list[dict], samples: list[PoseDataSample]) -> np.ndarray:
        drawn = [
            PosePanelRow(
                image=row['image'].permute(1, 2, 0).numpy(),
                keypoints=sample.pred_instances.keypoints[0],
                scores=sample.pred_instances.keypoint_scores[0],
                true_keypoints=row['keypoints'].numpy() if 'keypoints' in row else None,
                visible=row['weights'].numpy() if 'weights' in row else None,
                heatmaps=heatmaps_of(sample, model) if self.heatmaps else None,
                name=self.captioned(row)['name'],
            )
            for row, sample in zip(rows, samples, strict=True)
        ]
        return draw_pose_panel(drawn, model.skeleton, threshold=self.threshold, side=self.side, palette=self.palette)
