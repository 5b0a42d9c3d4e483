"""Detection of people: a whole image in, boxes and scores out."""

# B batch, M rows of boxes of a sample, N boxes that are decoded, w h size of the input in pixels, W H of the map in cells

from collections.abc import Callable

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from sapiens.registry import MODELS
from sapiens.utils.boxes import clip_boxes, transform_boxes

from ..codecs.center_boxes import BoxTargets
from ..losses.weights import SampleWeights
from .base import Estimator, loss_configs

__all__ = ['BoxEstimator']

# Options of prediction and their defaults.
TEST_OPTIONS = dict(flip_test=False, max_people=100, nms_threshold=0.6, score_threshold=0.01, losses=False)


@MODELS.register_module()
class BoxEstimator(Estimator):
    """Encoder, head and codec of a detector of people.

    Boxes are x1, y1, x2, y2 in pixels: the edges of what of a person shows in the image (:mod:`sapiens.utils.boxes`).

    Args:
        backbone: config of the encoder; its last feature map (B, C, h, w) is used.
        head: config of the head.
        losses: config of a loss, or a list of them, which are summed; default :class:`.CenterFocalLoss` and
            :class:`.BoxGIoULoss`.
        codec: config of the codec, default :class:`.CenterBoxes`.
        test_cfg: ``flip_test`` (default False): average with the prediction for the mirrored image. ``max_people``: boxes of an
            image, at most. ``nms_threshold``: of two boxes with a larger overlap (IoU) the better one is kept.
            ``score_threshold``: smallest score of a box. ``losses`` (default False): compute the losses of labeled samples too;
            loops set it where a metric needs it.
        data_preprocessor: normalization of the images.

    Raises:
        ValueError: an unknown option or one out of its range, or a head that contradicts backbone or codec.
    """

    task_name = 'person'

    def __init__(
        self,
        backbone: dict | nn.Module,
        head: dict,
        losses: dict | list[dict] | None = None,
        codec: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        codec = MODELS.build(codec or dict(type='CenterBoxes'))
        derived = dict(out_channels=(codec.channels, f'the codec {type(codec).__name__}'))
        super().__init__(backbone, head, derived, data_preprocessor, init_cfg)
        self.codec = codec
        configs = loss_configs(losses, (dict(type='CenterFocalLoss'), dict(type='BoxGIoULoss')))
        self.loss_modules = nn.ModuleList(MODELS.build(config) for config in configs)
        names = [loss.name for loss in self.loss_modules]
        if len(set(names)) < len(names):
            raise ValueError(f'losses have the names {", ".join(names)}: give those of one kind a name= each')
        self.test_options = TEST_OPTIONS
        self.test_cfg = self.options(test_cfg, TEST_OPTIONS)

    def check_options(self, options: dict) -> None:
        if not (isinstance(options['max_people'], int) and options['max_people'] > 0):
            raise ValueError(f'test_cfg.max_people={options["max_people"]!r}: expected 1 or more')
        for name in ('nms_threshold', 'score_threshold'):
            if not 0 <= options[name] <= 1:
                raise ValueError(f'test_cfg.{name}={options[name]!r}: expected 0 to 1')

    def loss(
        self,
        inputs: Tensor,
        data_samples: list,
        labels: dict[str, Tensor] | None = None,
        seeds: Tensor | None = None,
        encode: Callable | None = None,
    ) -> dict[str, Tensor]:
        """``loss_<name>`` of each loss, weighted; and ``center_score``: the mean score at the centers of people.

        A sample of weight w counts as w samples, see :mod:`sapiens.models.losses.weights`.
        """
        output = self.network(inputs, encode=encode, seeds=seeds)
        weights = SampleWeights.of(data_samples, labels, output.device)
        targets = self._targets(data_samples, inputs, output, labels)
        targets = targets._replace(counted=weights.keep(targets.counted), weights=weights.keep(targets.weights))
        return {
            **self._losses(output, targets, weights.relative),
            'center_score': self._center_score(output.detach(), targets),
        }

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list, encode: Callable | None = None, **options) -> list:
        """Find the people of each image.

        Args:
            inputs: (B, 3, h, w) normalized images.
            data_samples: B samples with ``ori_shape`` (h, w) in their metainfo, and ``warp_matrix`` (2, 3) from pixels of the
                image to those of the input. Without a matrix the image was stretched to the input; without a shape the input is
                the image.
            encode: see :meth:`.Estimator.network`.
            **options: override those of ``test_cfg``.

        Returns:
            The samples, each with ``pred_instances``: ``bboxes`` (N, 4) x1, y1, x2, y2 in pixels of the image and ``scores``
            (N,), float32 arrays, best first; and with the option ``losses``, where there are labels, ``loss`` (float).
        """
        options = self.options(options, self.test_cfg)
        size = inputs.shape[-1], inputs.shape[-2]
        output = self.network(inputs, encode=encode)
        boxes, scores = self.codec.boxes(output, size)
        if options['flip_test']:
            others, more = self.codec.boxes(self.network(inputs.flip(-1), encode=encode), size)
            # A mirrored box has its right edge where the left one was.
            others = others[:, [2, 1, 0, 3]].flip(-1)
            others[:, 0::2] = size[0] - others[:, 0::2]
            boxes, scores = (boxes + others) / 2, (scores + more.flip(-1)) / 2
        found, values = self._decode(boxes, scores, size, options)
        found, values = found.cpu().numpy(), values.cpu().numpy()
        losses = self._each_loss(inputs, data_samples, output) if options['losses'] else None
        for index, sample in enumerate(data_samples):
            places = _to_image(found[index], sample, size)
            # Rows without a person have score 0, and boxes beside the image are empty.
            good = (values[index] >= options['score_threshold']) & (values[index] > 0)
            good &= (places[:, 2:] > places[:, :2]).all(1)
            sample.pred_instances = InstanceData(bboxes=places[good], scores=values[index][good])
            if losses is not None and losses[index] is not None:
                sample.set_field(losses[index], 'loss', dtype=float)
        return data_samples

    def decode(self, output: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B, N, 4) in pixels of the input and scores (B, N), best first, of an output (B, 5, H, W) of the network, as in
        exports: rows that are no people have score 0.

        Args:
            output: float32.
            size: (w, h) of the input.
        """
        return self._decode(*self.codec.boxes(output, size), size, self.test_cfg)

    # ------------------------------------------------------------------ parts

    def _decode(self, boxes: Tensor, scores: Tensor, size: tuple[int, int], options: dict) -> tuple[Tensor, Tensor]:
        return self.codec.decode(boxes, scores, size, options['max_people'], options['nms_threshold'])

    def _targets(self, samples: list, inputs: Tensor, output: Tensor, labels: dict | None = None) -> BoxTargets:
        names = ('boxes', 'box_kinds')
        if labels is None or any(name not in labels for name in names):
            rows = [sample.gt_instance_labels for sample in samples]
            labels = {name: torch.cat([row.get(name) for row in rows]) for name in names}
        boxes, kinds = (labels[name].to(output.device) for name in names)
        size, cells = (inputs.shape[-1], inputs.shape[-2]), (output.shape[-1], output.shape[-2])
        return self.codec.targets(boxes, kinds, size, cells)

    def _losses(self, output: Tensor, targets: BoxTargets, weights: Tensor | None = None) -> dict[str, Tensor]:
        distances, losses = self.codec.distances(output), {}
        for loss in self.loss_modules:
            if loss.part == 'center':
                losses[f'loss_{loss.name}'] = loss(output[:, :1], targets.heat, targets.counted, weights=weights)
            else:
                losses[f'loss_{loss.name}'] = loss(distances, targets.distances, targets.weights, weights=weights)
        return losses

    def _each_loss(self, inputs: Tensor, samples: list, output: Tensor) -> list[float | None]:
        """The sum of the losses of each labeled sample."""
        found = []
        for index, sample in enumerate(samples):
            one = slice(index, index + 1)
            if 'gt_instance_labels' not in sample:
                found.append(None)
                continue
            targets = self._targets([sample], inputs[one], output[one])
            found.append(float(sum(self._losses(output[one], targets).values())))
        return found

    @staticmethod
    def _center_score(output: Tensor, targets: BoxTargets) -> Tensor:
        centers = (targets.heat == 1).float()
        return (output[:, :1].float().sigmoid() * centers).sum() / centers.sum().clamp(min=1)


def _to_image(boxes: np.ndarray, sample, size: tuple[int, int]) -> np.ndarray:
    """Boxes (N, 4) in pixels of the input as those in pixels of the image of a sample, clipped to it."""
    height, width = sample.metainfo.get('ori_shape', size[::-1])
    matrix = sample.metainfo.get('warp_matrix')
    if matrix is None:
        return (boxes * (np.array([width, height] * 2) / np.array([*size, *size]))).astype(np.float32)
    whole = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    return clip_boxes(transform_boxes(boxes, whole), (width, height)).astype(np.float32)
