"""A network with what surrounds it: preparation of images, batches on the device, typed results.

Legend: B batch, N people, K keypoints, C channels, h w the network's input or a map.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.metainfo import get_skeleton, match_keypoints
from sapiens.metainfo.goliath308 import WHOLEBODY_HANDS

from .inputs import Item, read_pixels
from .pipeline import run
from .preprocess import PersonInput, WholeInput
from .results import DepthResult, FeatureResult, NormalResult, PoseResult, Result, SegResult

__all__ = ['PREDICTORS', 'SKELETONS', 'FeaturePredictor', 'PosePredictor', 'Predictor']

SKELETONS = {17: 'coco17', 133: 'wholebody133', 308: 'goliath308'}


class Predictor:
    """A network with what surrounds it: preparation, batches, results. Made by :func:`load_model`."""

    task: str = ''

    def __init__(
        self,
        network: nn.Module,
        prepare: PersonInput | WholeInput,
        *,
        device: str,
        dtype: torch.dtype,
        batch_size: int,
        compile: bool,
        crop: str,
        flip_test: bool | None = None,
    ) -> None:
        self.network, self.prepare, self.dtype, self.batch_size = network, prepare, dtype, batch_size
        self.device = next(network.parameters()).device
        self.crop = crop if crop != 'auto' else 'host' if self.device.type == 'cpu' else 'device'
        self.options = {} if flip_test is None else dict(flip_test=flip_test)
        self.detector: Callable | None = None
        self.fixed_batch = compile
        if compile:
            for part in self._parts():
                part.compile(dynamic=False)

    # ------------------------------------------------------------------ for users

    def __call__(self, images, boxes=None) -> Result | list[Result]:
        """Results of one image or of several.

        Args:
            images: a path, URL, Pillow image or (H, W, 3) uint8 RGB array; or a list of these.
            boxes: of people, for pose: (N, 4) x1, y1, x2, y2 in pixels, or with a score (N, 5); of several images a list.

        Returns:
            One result, or a list of as many as there are images.

        Raises:
            BadImage: an image that cannot be read, with its name. To go on instead, use :meth:`stream`.
            ValueError: boxes for a model that takes none, or of another shape.
        """
        single = isinstance(images, str | Path | np.ndarray | Image.Image)
        images = [images] if single else list(images)
        if boxes is not None:
            if not self.prepare.needs_boxes:
                raise ValueError(f'boxes: a model for {self.task!r} sees the whole image')
            boxes = [boxes] if single else list(boxes)
            if len(boxes) != len(images):
                raise ValueError(f'boxes for {len(boxes)} images, but {len(images)} images')
        results: list = [None] * len(images)
        for index, result in self._run(images, boxes):
            if isinstance(result, BadImage):
                raise result
            results[index] = result
        return results[0] if single else results

    def stream(self, images: Iterable, workers: int = 2) -> Iterator[tuple[object, Result | BadImage]]:
        """Yield (image, result) one after the other, or in the place of the result why there is none; memory does not grow."""
        seen = {}

        def remember():
            for index, image in enumerate(images):
                seen[index] = image
                yield image

        for index, result in self._run(remember(), None, workers):
            yield seen.pop(index), result

    def _run(self, images: Iterable, boxes: list | None, workers: int = 2) -> Iterator[tuple[int, Result | BadImage]]:
        waiting = {}

        def items() -> Iterator[Item]:
            for index, image in enumerate(images):
                waiting[str(index)] = image
                yield Item(os.fspath(image) if isinstance(image, str | Path) else '', str(index))

        def boxes_of(item: Item, image: np.ndarray):
            return None if boxes is None else _boxes_with_scores(boxes[int(item.name)])

        for job in run(
            {self.task: self},
            items(),
            detector=self.detector,
            boxes_of=boxes_of,
            workers=workers,
            pixels_of=lambda item: read_pixels(waiting[item.name]),
        ):
            waiting.pop(job.item.name)
            result = BadImage(f'{job.item.source or "image"}: {job.error}') if job.error else job.results[self.task]
            yield int(job.item.name), result

    # ------------------------------------------------------------------ for sapiens.apis.pipeline

    @property
    def on_cores(self) -> bool:
        """Whether batches may be computed side by side, each on one core."""
        return self.device.type == 'cpu' and not self.fixed_batch

    def units(self, image: np.ndarray, boxes: np.ndarray | None, scores: np.ndarray | None) -> list[tuple]:
        """(what the model is told, pixels (3, h, w) uint8, or None where the device cuts them) of each network input."""
        samples = self.prepare.samples(image, boxes, scores)
        return [(sample, self.prepare.on_host(image, sample) if self.crop == 'host' else None) for sample in samples]

    @torch.inference_mode()
    def forward(self, units: Sequence[tuple]) -> list:
        """Outputs of up to ``batch_size`` (image, sample, pixels)."""
        count = len(units)
        samples = [sample for _, sample, _ in units]
        inputs = self._inputs(units)
        if self.fixed_batch and count < self.batch_size:
            missing = self.batch_size - count
            inputs = torch.cat([inputs, inputs[-1:].expand(missing, -1, -1, -1)])
            samples = samples + [samples[-1].clone() for _ in range(missing)]
        autocast = contextlib.nullcontext()
        if self.dtype != torch.float32:
            autocast = torch.autocast(self.device.type, self.dtype)
        with autocast:
            return self._outputs(inputs, samples)[:count]

    def _inputs(self, units: Sequence[tuple]) -> Tensor:
        if self.crop == 'host':
            return self._normalize(torch.stack([pixels for _, _, pixels in units]))
        # Several people of one image share its upload.
        parts, start = [], 0
        while start < len(units):
            image = units[start][0]
            end = start
            while end < len(units) and units[end][0] is image:
                end += 1
            pixels = torch.from_numpy(image).to(self.device, non_blocking=True).permute(2, 0, 1)
            parts.append(self.prepare.on_device(pixels, [sample for _, sample, _ in units[start:end]]))
            start = end
        return self._normalize(torch.cat(parts))

    def _normalize(self, images: Tensor) -> Tensor:
        return self.network.data_preprocessor.normalize(images)

    def _parts(self) -> list[nn.Module]:
        """What ``compile`` compiles."""
        return [self.network.backbone, getattr(self.network, 'head', None) or self.network.decode_head]

    def _outputs(self, inputs: Tensor, samples: list) -> list:
        """One output for each sample, off the device."""
        raise NotImplementedError

    def result(self, image: np.ndarray, path: str, outputs: list) -> Result:
        """The result of an image from the outputs of its units."""
        raise NotImplementedError


class PosePredictor(Predictor):
    task = 'pose'

    def __init__(self, network, prepare, *, num_keypoints=None, heatmaps=False, detector=None, **options) -> None:
        super().__init__(network, prepare, **options)
        self.detector = detector
        self.skeleton, self.ids = network.skeleton, None
        self.options['output_heatmaps'] = heatmaps
        if num_keypoints is not None and num_keypoints != len(self.skeleton):
            self._reduce_to(num_keypoints)

    def _reduce_to(self, count: int) -> None:
        if count not in SKELETONS or count > len(self.skeleton):
            known = [number for number in SKELETONS if number <= len(self.skeleton)]
            raise ValueError(f'num_keypoints={count!r}: {self.skeleton!r} can give {" or ".join(map(str, known))}')
        target = get_skeleton(SKELETONS[count])
        names = {
            name: other for name, other in WHOLEBODY_HANDS.items() if name in target and other in self.skeleton
        }  # fmt: skip
        self.ids = match_keypoints(self.skeleton, target, names)
        self.options['keypoints'] = [self.skeleton.keypoints[index] for index in self.ids if index >= 0]
        self.skeleton = target

    def _outputs(self, inputs: Tensor, samples: list) -> list:
        outputs = []
        for sample in self.network.predict(inputs, samples, **self.options):
            found = sample.pred_instances
            maps = sample.pred_fields.heatmaps.float().cpu().numpy() if self.options['output_heatmaps'] else None
            outputs.append((found, maps, sample.input_center, sample.input_scale))
        return outputs

    def result(self, image: np.ndarray, path: str, outputs: list) -> PoseResult:
        count = len(self.network.skeleton)
        points = _joined([found.keypoints for found, *_ in outputs], (count, 2))
        scores = _joined([found.keypoint_scores for found, *_ in outputs], (count,))
        if self.ids is not None:
            lacking = self.ids < 0
            points, scores = points[:, self.ids], scores[:, self.ids]
            points[:, lacking], scores[:, lacking] = np.nan, 0
        result = PoseResult(
            image=image,
            path=path,
            keypoints=points,
            scores=scores,
            boxes=_joined([found.bboxes for found, *_ in outputs], (4,)),
            box_scores=_joined([found.bbox_scores for found, *_ in outputs], ()),
            skeleton=self.skeleton,
        )
        if self.options['output_heatmaps']:
            result.heatmaps = [maps for _, maps, *_ in outputs]
            result.heatmap_transforms = np.array(
                [_to_image(maps.shape[1:], center, scale) for _, maps, center, scale in outputs]
            ).reshape(-1, 2, 3)
        return result


class SegPredictor(Predictor):
    task = 'seg'

    def _outputs(self, inputs: Tensor, samples: list) -> list:
        found = self.network.predict(inputs, samples, **self.options)
        return [sample.pred_sem_seg.to(torch.uint8).cpu().numpy() for sample in found]

    def result(self, image: np.ndarray, path: str, outputs: list) -> SegResult:
        return SegResult(image=image, path=path, labels=outputs[0], classes=self.network.task.classes)


class DepthPredictor(Predictor):
    task = 'depth'

    def _outputs(self, inputs: Tensor, samples: list) -> list:
        found = self.network.predict(inputs, samples, **self.options)
        return [sample.pred_depth[0].float().cpu().numpy() for sample in found]

    def result(self, image: np.ndarray, path: str, outputs: list) -> DepthResult:
        return DepthResult(image=image, path=path, depth=outputs[0], relative=self.network.task.relative)


class NormalPredictor(Predictor):
    task = 'normal'

    def _outputs(self, inputs: Tensor, samples: list) -> list:
        found = self.network.predict(inputs, samples, **self.options)
        return [sample.pred_normal.float().permute(1, 2, 0).contiguous().cpu().numpy() for sample in found]

    def result(self, image: np.ndarray, path: str, outputs: list) -> NormalResult:
        return NormalResult(image=image, path=path, normals=outputs[0])


class FeaturePredictor(Predictor):
    task = 'features'

    def _normalize(self, images: Tensor) -> Tensor:
        return self.network.normalizer.normalize(images)

    def _parts(self) -> list[nn.Module]:
        return [self.network]

    def _outputs(self, inputs: Tensor, samples: list) -> list:
        dtype = torch.float16 if self.dtype == torch.float16 else torch.float32
        return list(self.network(inputs)[-1].to(dtype).cpu().numpy())

    def result(self, image: np.ndarray, path: str, outputs: list) -> FeatureResult:
        return FeatureResult(image=image, path=path, features=outputs[0])


PREDICTORS = {
    kind.task: kind for kind in (PosePredictor, SegPredictor, DepthPredictor, NormalPredictor, FeaturePredictor)
}


def _joined(parts: list[np.ndarray], shape: tuple) -> np.ndarray:
    """The people of an image in one array (N, *shape)."""
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros((0, *shape), np.float32)


def _to_image(cells: tuple[int, int], center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(2, 3), from cells of an (h, w) heatmap to pixels of the image, as the codec maps keypoints."""
    h, w = cells
    x, y = scale[0] / (w - 1), scale[1] / (h - 1)
    return np.array([[x, 0, center[0] - scale[0] / 2], [0, y, center[1] - scale[1] / 2]], np.float64)


def _boxes_with_scores(boxes) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.asarray(boxes, np.float32)
    if boxes.size == 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    boxes = boxes[None] if boxes.ndim == 1 else boxes
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5) or not np.isfinite(boxes).all():
        raise ValueError(f'boxes {boxes.shape}: expected (N, 4) x1, y1, x2, y2 or with a score (N, 5), finite')
    return boxes[:, :4], boxes[:, 4] if boxes.shape[1] == 5 else np.ones(len(boxes), np.float32)
