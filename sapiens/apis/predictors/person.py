"""Predictor of the boxes of people."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sapiens.coco import BOX_THRESHOLD
from sapiens.structures import DenseDataSample

from ..detectors.base import suppress
from ..preprocess import WholeInput
from ..results import PersonResult
from .base import Predictor

__all__ = ['PersonPredictor', 'TiledInput', 'tile_windows']

# Tiles share this fraction of their sides with their neighbors.
_OVERLAP = 0.25
# Pixels of the input: a box this close to an edge of its tile that is none of the image may go on beyond it.
_EDGE = 2.0


class PersonPredictor(Predictor):
    """Predicts the boxes of the people of an image.

    Args:
        box_threshold: smallest score of a box, by default :data:`sapiens.coco.BOX_THRESHOLD`.
        nms_threshold: of two boxes with a larger overlap (IoU) the better one is kept; by default as the config says.
        tiles: also look at ``tiles`` x ``tiles`` overlapping parts of the image, for small people; 1 looks at the whole image
            only.

    Raises:
        ValueError: a value out of its range.
    """

    options = ('flip_test', 'box_threshold', 'nms_threshold', 'tiles')

    def __init__(
        self,
        task: str,
        network: nn.Module,
        preprocess: WholeInput,
        *,
        box_threshold: float | None = None,
        nms_threshold: float | None = None,
        tiles: int = 1,
        **options,
    ) -> None:
        if isinstance(preprocess, WholeInput):
            preprocess = TiledInput(preprocess.transform, tiles)
        elif tiles != 1:  # the inputs of several tasks
            raise ValueError(
                f'tiles={tiles}: a model of several tasks looks at the whole image; take the task person alone'
            )
        super().__init__(task, network, preprocess, **options)
        threshold = BOX_THRESHOLD if box_threshold is None else box_threshold
        self.nms_threshold = network.test_cfg['nms_threshold'] if nms_threshold is None else nms_threshold
        for name, value in (('box_threshold', threshold), ('nms_threshold', self.nms_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name}={value!r}: expected 0 to 1')
        self.predict_options.update(score_threshold=threshold, nms_threshold=self.nms_threshold)

    def read(self, samples: list) -> list:
        """Return boxes and scores of predicted samples in pixels of the image. Boxes at an inner edge of a tile are left out,
        since more of the person may be beyond it."""
        outputs = []
        for sample in samples:
            found, window = sample.pred_instances, sample.metainfo.get('window')
            if window is None:  # the input of several tasks
                outputs.append((found.bboxes, found.scores))
                continue
            boxes = found.bboxes + np.array([window.x, window.y] * 2, np.float32)
            whole = window.is_within(boxes, _EDGE / np.hypot(*sample.metainfo['warp_matrix'][:, 0]))
            outputs.append((boxes[whole], found.scores[whole]))
        return outputs

    def result(self, image: np.ndarray, path: str, outputs: list) -> PersonResult:
        boxes, scores = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
        kept = suppress(boxes, scores, self.nms_threshold, border=0)
        return PersonResult(image=image, path=path, boxes=boxes[kept], scores=scores[kept])


@dataclass(frozen=True)
class Window:
    """A part of an image: its upper left corner and size in pixels, and the size of the image."""

    x: int
    y: int
    width: int
    height: int
    image: tuple[int, int]

    def cut(self, pixels: np.ndarray | Tensor, rows: int) -> np.ndarray | Tensor:
        """Cut it out of pixels whose axis ``rows`` is the height and whose next one is the width."""
        place = [slice(None)] * rows + [slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)]
        return pixels[tuple(place)]

    def is_within(self, boxes: np.ndarray, margin: float) -> np.ndarray:
        """Whether boxes (N, 4) of the image end inside, or at an edge of the image."""
        low, high = np.array([self.x, self.y]), np.array([self.x + self.width, self.y + self.height])
        after = (boxes[:, :2] > low + margin) | (low == 0)
        before = (boxes[:, 2:] < high - margin) | (high == np.array(self.image))
        return (after & before).all(1)


class TiledInput(WholeInput):
    """Resizes the whole image, and overlapping tiles of it.

    Args:
        transform: resizes each.
        tiles: tiles along each side; 1 for none.

    Raises:
        ValueError: ``tiles`` below 1.
    """

    def __init__(self, transform, tiles: int = 1) -> None:
        if isinstance(tiles, bool) or not isinstance(tiles, int) or tiles < 1:
            raise ValueError(f'tiles={tiles!r}: expected the number of tiles along each side, 1 for none')
        super().__init__(transform)
        self.tiles = tiles

    def samples(self, image: np.ndarray, boxes=None, scores=None) -> list[DenseDataSample]:
        """Return the samples of the image and of its tiles."""
        made = []
        for window in tile_windows(image.shape[1::-1], self.tiles):
            (sample,) = super().samples(window.cut(image, 0))
            sample.set_metainfo(dict(window=window))
            made.append(sample)
        return made

    def on_host(self, image: np.ndarray, sample: DenseDataSample) -> Tensor:
        return super().on_host(np.ascontiguousarray(sample.metainfo['window'].cut(image, 0)), sample)

    def on_device(self, image: Tensor, samples: list[DenseDataSample]) -> Tensor:
        """Return the inputs (B, 3, h, w) float32, rounded to integers, of parts of an image (3, H, W) on the device."""
        return torch.cat([super(TiledInput, self).on_device(s.metainfo['window'].cut(image, 1), [s]) for s in samples])


def tile_windows(size: tuple[int, int], tiles: int) -> list[Window]:
    """The whole image of ``size`` (w, h), and ``tiles`` x ``tiles`` overlapping parts of equal sizes that cover it."""
    windows = [Window(0, 0, *size, tuple(size))]
    if tiles == 1:
        return windows
    sides = [min(whole, round(whole / (tiles - (tiles - 1) * _OVERLAP)) + 1) for whole in size]
    starts = [np.linspace(0, whole - side, tiles).round().astype(int) for whole, side in zip(size, sides, strict=True)]
    return windows + [Window(int(x), int(y), *sides, tuple(size)) for y in starts[1] for x in starts[0]]
