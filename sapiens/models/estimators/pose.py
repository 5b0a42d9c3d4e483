"""Top-down pose estimation: one person's crop in, keypoints out."""

# B batch, K keypoints, k those asked for, w h size of the crop in pixels, W H of a heatmap in cells

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from sapiens.metainfo import get_skeleton
from sapiens.metainfo.naming import near
from sapiens.registry import MODELS

from ..codecs.heatmap_target import HeatmapTarget
from ..losses.weights import SampleWeights
from .base import Estimator, loss_configs

__all__ = ['PoseEstimator']

# Options of prediction and their defaults.
TEST_OPTIONS = dict(flip_test=True, keypoints=None, output_heatmaps=False, losses=False)


@MODELS.register_module()
class PoseEstimator(Estimator):
    """Encoder, heatmap head and codec for one skeleton.

    Sizes follow from the parts: the head's input from the backbone, its outputs from the skeleton, and the codec works with the
    sizes of the tensors it gets, so any image size that the backbone takes is fine.

    Args:
        backbone: config of the encoder; its last feature map (B, C, h, w) is used.
        head: config of the head.
        skeleton: name, path of a .py file, or dict; see :func:`sapiens.metainfo.get_skeleton`.
        losses: config of a loss, or a list of them, which are summed (``loss`` is the former name). The first one defines what
            the output means.
        codec: config of the codec.
        test_cfg: ``flip_test`` (default True): average with the prediction for the mirrored crop. ``keypoints``: names of those
            to predict, default all; the others come out as NaN with score 0. ``output_heatmaps``: keep the maps. ``losses``
            (default False): compute the loss of labeled samples too; loops set it where a metric needs it.
        group_weights: factors on the keypoints of groups of the skeleton in the loss, by name; 1 by default. Of 133 keypoints
            116 are those of face, feet and hands: without factors they are most of the mean.
        data_preprocessor: normalization of the images.

    Raises:
        ValueError: an unknown option or keypoint, a head that contradicts backbone or skeleton, or factors of groups that are
            unknown, overlap, or are not above 0.
    """

    task_name = 'pose'

    def __init__(
        self,
        backbone: dict | nn.Module,
        head: dict,
        skeleton: str | Path | Mapping,
        losses: dict | list[dict] | None = None,
        codec: dict | None = None,
        test_cfg: dict | None = None,
        group_weights: Mapping[str, float] | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
        **renamed,
    ) -> None:
        (losses,) = self.take_renamed(renamed, losses=losses)
        skeleton = get_skeleton(skeleton)
        derived = dict(out_channels=(len(skeleton), repr(skeleton)))
        if 'num_keypoints' in head:  # former name
            head = dict(head)
            head['out_channels'] = head.pop('num_keypoints')
        super().__init__(backbone, head, derived, data_preprocessor, init_cfg)
        self.skeleton = skeleton
        configs = loss_configs(losses, (dict(type='HeatmapMSELoss'),))
        self.loss_modules = nn.ModuleList(MODELS.build(config) for config in configs)
        self.codec = MODELS.build(codec or dict(type='UDPHeatmap'))
        self.test_options = TEST_OPTIONS
        self.test_cfg = self.options(test_cfg, TEST_OPTIONS)
        self.register_buffer('flip_indices', torch.tensor(self.skeleton.flip_indices), persistent=False)
        self.register_buffer('factors', self._factors(group_weights or {}), persistent=False)

    @property
    def loss_module(self) -> nn.Module:
        """The loss that defines what the output means."""
        return self.loss_modules[0]

    def check_options(self, options: dict) -> None:
        self.requested(options['keypoints'])  # a wrong name fails now, not after an hour

    def loss(
        self,
        inputs: Tensor,
        data_samples: list,
        labels: dict[str, Tensor] | None = None,
        seeds: Tensor | None = None,
        encode: Callable | None = None,
    ) -> dict[str, Tensor]:
        """Loss over a batch, and ``acc_pose``: the fraction of keypoints with weight whose highest cell lies within 5 % of the
        map's size of the truth. A sample of weight w (``weight`` in its metainfo) counts as w samples in the loss, see
        :mod:`sapiens.models.losses.weights`."""
        output = self.network(inputs, encode=encode, seeds=seeds)
        samples = SampleWeights.of(data_samples, labels, output.device)
        keypoints, weights = self._labels(data_samples, output.device, labels)
        target, weights = self._encode(keypoints, samples.keep(weights), inputs, output)
        losses = samples.weigh(self._losses(output, target, weights))
        return dict(loss=losses.mean(), acc_pose=self._accuracy(output.detach(), keypoints, weights, inputs))

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list, encode: Callable | None = None, **options) -> list:
        """Find the keypoints of each crop.

        Args:
            inputs: (B, 3, h, w) normalized crops.
            data_samples: B samples with ``input_center``, ``input_scale`` in their metainfo (center and size of the crop in the
                image, pixels), and ``gt_instances`` with ``bboxes`` and ``bbox_scores``.
            encode: see :meth:`.Estimator.network`.
            **options: override those of ``test_cfg``.

        Returns:
            The samples, each with ``pred_instances``: ``keypoints`` (1, K, 2) in pixels of the image, ``keypoint_scores``
            (1, K), ``bboxes``, ``bbox_scores``, float32 arrays; ``loss`` (float) with the option ``losses`` where there are
            labels; and with ``output_heatmaps`` ``pred_fields.heatmaps`` (k, H, W).
        """
        options = self.options(options, self.test_cfg)
        ids = self.requested(options['keypoints'])
        heatmaps, losses = self._heatmaps(inputs, data_samples, ids, options, encode)
        size = inputs.shape[-1], inputs.shape[-2]
        points, scores = self.codec.decode(heatmaps, size)
        center, scale = (
            torch.as_tensor(np.stack([sample.metainfo[key] for sample in data_samples]), dtype=torch.float32)
            for key in ('input_center', 'input_scale')
        )
        points = self.codec.to_image(points.cpu(), size, center, scale).numpy()
        scores = scores.cpu().numpy()
        shape = len(data_samples), len(self.skeleton)
        chosen = slice(None) if ids is None else ids.cpu().numpy()
        all_points, all_scores = np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, np.float32)
        all_points[:, chosen], all_scores[:, chosen] = points, scores
        for index, sample in enumerate(data_samples):
            truth = sample.gt_instances
            sample.pred_instances = InstanceData(
                keypoints=all_points[index, None],
                keypoint_scores=all_scores[index, None],
                bboxes=np.asarray(truth.bboxes, np.float32),
                bbox_scores=np.asarray(truth.bbox_scores, np.float32),
            )
            if losses is not None:
                sample.set_field(float(losses[index]), 'loss', dtype=float)
            if options['output_heatmaps']:
                sample.pred_fields = PixelData(heatmaps=heatmaps[index])
        return data_samples

    def requested(self, names: list | None) -> Tensor | None:
        """Ids (k,) of keypoints by name; None for all. Raises ValueError with the nearest name for an unknown one."""
        if names is None:
            return None
        if isinstance(names, str) or not names:
            raise ValueError(
                f'test_cfg.keypoints={names!r}: expected a list of names of {self.skeleton!r}, or None for all'
            )
        device = self.flip_indices.device if hasattr(self, 'flip_indices') else None
        return torch.tensor([self.skeleton.index(name) for name in names], device=device)

    # ------------------------------------------------------------------ parts

    def _heatmaps(
        self, inputs: Tensor, data_samples: list, ids: Tensor | None, options: dict, encode: Callable | None = None
    ) -> tuple[Tensor, list[float] | None]:
        """Maps (B, k, H, W) to decode, and each sample's loss (B,), or None where it is not asked for, without labels, or with
        some keypoints only."""
        output = self.network(inputs, ids, encode)
        losses = None
        if options['losses'] and ids is None and all('gt_instance_labels' in sample for sample in data_samples):
            target, weights = self._encode(*self._labels(data_samples, output.device), inputs, output)
            losses = self._losses(output, target, weights).tolist()
        heatmaps = self.loss_module.to_heatmaps(output)
        if options['flip_test']:
            # The map of a keypoint in the mirrored crop is the mirrored map of its partner.
            partners = self.flip_indices if ids is None else self.flip_indices[ids]
            mirrored = self.network(inputs.flip(-1), partners, encode)
            heatmaps = (heatmaps + self.loss_module.to_heatmaps(mirrored).flip(-1)) / 2
        return heatmaps, losses

    def _losses(self, output: Tensor, target: HeatmapTarget, weights: Tensor) -> Tensor:
        """Loss of each sample (B,)."""
        if self.factors is not None:
            weights = weights * self.factors
        return sum(loss(output, target, weights) for loss in self.loss_modules)

    def _factors(self, group_weights: Mapping[str, float]) -> Tensor | None:
        """Factors (K,) of the keypoints in the loss; None if all are 1."""
        factors = torch.ones(len(self.skeleton))
        owner: dict[int, str] = {}
        for name, weight in group_weights.items():
            where, groups = f'group_weights.{name}', self.skeleton.groups
            if name not in groups:
                raise ValueError(
                    f'{where}: {self.skeleton!r} has no group {name!r}{near(name, groups)} (groups: '
                    f'{", ".join(groups) or "none"})'
                )
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < float('inf'):
                raise ValueError(f'{where}={weight!r}: expected a number above 0')
            for index in groups[name].tolist():
                if index in owner:
                    raise ValueError(f'{where}: {self.skeleton.keypoints[index]} is also in group {owner[index]!r}')
                owner[index] = name
                factors[index] = weight
        return factors if owner else None

    def _labels(self, data_samples: list, device, labels: dict[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Keypoints (B, K, 2) in pixels of the crops and their weights (B, K)."""
        names = ('keypoints', 'keypoint_weights')
        if labels is None or any(name not in labels for name in names):
            persons = [sample.gt_instance_labels for sample in data_samples]
            labels = {name: torch.cat([person.get(name) for person in persons]) for name in names}
        keypoints, weights = (labels[name].to(device) for name in names)
        if keypoints.shape[1] != len(self.skeleton):
            raise ValueError(
                f'the data have {keypoints.shape[1]} keypoints, the model is for {self.skeleton!r}: '
                'dataset.skeleton and model.skeleton must agree'
            )
        return keypoints, weights

    def _encode(
        self, keypoints: Tensor, weights: Tensor, inputs: Tensor, output: Tensor
    ) -> tuple[HeatmapTarget, Tensor]:
        (h, w), (H, W) = inputs.shape[-2:], output.shape[-2:]
        return self.codec.targets(keypoints, weights, (w, h), (W, H))

    def _accuracy(self, output: Tensor, keypoints: Tensor, weights: Tensor, inputs: Tensor) -> Tensor:
        (h, w), (H, W) = inputs.shape[-2:], output.shape[-2:]
        cells = self.codec.highest_cells(output)[0]
        # Sizes stay numbers: as tensors they are copies to the device, which wait for it.
        axes = zip(cells.unbind(-1), (W - 1, H - 1), keypoints.unbind(-1), (w - 1, h - 1), strict=True)
        error = torch.stack([cell / last - keypoint / side for cell, last, keypoint, side in axes], dim=-1)
        hit = (error.norm(dim=-1) < 0.05) & (weights > 0)
        return hit.sum() / (weights > 0).sum().clamp(min=1)
