"""Boxes of the people of an image as labels of the network's input."""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData

from sapiens.registry import TRANSFORMS
from sapiens.structures import DenseDataSample
from sapiens.utils.boxes import clip_boxes, transform_boxes

from .packing import PickledAsArrays, to_planes

__all__ = ['PackBoxes']

_KEYS = (
    *(
        'img_id',
        'img_path',
        'ori_shape',
        'img_shape',
        'crop',
        'flip',
        'rotation',
        'warp_matrix',
        'sample_idx',
        'padding',
    ),
)
# Kinds of rows, as in sapiens.models.codecs.center_boxes.
_PERSON, _IGNORED = 1, 2


@TRANSFORMS.register_module()
class PackBoxes(BaseTransform):
    """Move the boxes of people to the network's input and pack both for the model.

    A box is clipped to the input. People who hardly show in it are ignored: they are neither people nor background.

    Required Keys: img (uint8 (h, w, 3) RGB), img_shape, ori_shape, warp_matrix (2, 3) from the image to the input; bbox (N, 4)
    x1, y1, x2, y2 in pixels of the image and bbox_ignored (N,) bool, both missing for an image without people; the keys of the
    metainfo where present

    Args:
        min_size: people whose box in the input has a longer side of fewer pixels are ignored.
        min_visible: so are those of whose box a smaller fraction is inside the input.
        max_people: M, rows of the labels, which all samples have. Where more people show, the largest are kept, and a box around
            the others is ignored.

    Returns:
        dict(inputs=uint8 (3, h, w) tensor, RGB, not normalized; data_samples=:class:`sapiens.structures.DenseDataSample`) with

        - ``gt_instances``, arrays in pixels of the image: bboxes (N, 4) and ignored (N,);
        - ``gt_instance_labels``, tensors: boxes (1, M, 4) float32 in pixels of the input, and box_kinds (1, M) uint8, 1 for a
          person, 2 for an ignored box and 0 for a row without one;
        - metainfo, where known: img_id, img_path, ori_shape, img_shape, crop, flip, rotation, warp_matrix, sample_idx, padding.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, min_size: float = 8.0, min_visible: float = 0.25, max_people: int = 64) -> None:
        if not min_size >= 1:
            raise ValueError(f'min_size={min_size!r}: expected pixels, 1 or more')
        if not 0 <= min_visible <= 1:
            raise ValueError(f'min_visible={min_visible!r}: expected a fraction, 0 to 1')
        if not (isinstance(max_people, int) and max_people >= 2):
            raise ValueError(f'max_people={max_people!r}: expected 2 or more')
        self.min_size, self.min_visible, self.max_people = min_size, min_visible, max_people

    def transform(self, results: dict) -> dict:
        boxes = np.asarray(results.get('bbox', ()), np.float32).reshape(-1, 4)
        ignored = np.asarray(results.get('bbox_ignored', np.zeros(len(boxes))), bool)
        sample = DenseDataSample(metainfo={key: results[key] for key in _KEYS if key in results})
        sample.gt_instances = InstanceData(bboxes=boxes, ignored=ignored)
        height, width = results['img_shape'][:2]
        moved, kinds = self.labels(transform_boxes(boxes, results['warp_matrix']), ignored, (width, height))
        rows = np.zeros((1, self.max_people, 4), np.float32), np.zeros((1, self.max_people), np.uint8)
        rows[0][0, : len(moved)], rows[1][0, : len(kinds)] = moved, kinds
        sample.gt_instance_labels = PickledAsArrays(
            boxes=torch.from_numpy(rows[0]), box_kinds=torch.from_numpy(rows[1])
        )
        return dict(inputs=to_planes(results['img']), data_samples=sample)

    def labels(self, boxes: np.ndarray, ignored: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The boxes (n, 4) inside an input of ``size`` (w, h), largest first, and their kinds (n,); at most M of them."""
        clipped = clip_boxes(boxes, size)
        sides, whole = clipped[:, 2:] - clipped[:, :2], (boxes[:, 2:] - boxes[:, :2]).prod(1)
        shown = (sides > 0).all(1)
        hardly = (sides.max(1, initial=0) < self.min_size) | (sides.prod(1) < self.min_visible * whole)
        kinds = np.where(ignored | hardly, _IGNORED, _PERSON).astype(np.uint8)
        order = np.argsort(-sides.prod(1), kind='stable')
        order = order[shown[order]]
        boxes, kinds = clipped[order], kinds[order]
        if len(boxes) > self.max_people:
            rest, last = boxes[self.max_people - 1 :], self.max_people - 1
            around = np.concatenate([rest[:, :2].min(0), rest[:, 2:].max(0)])
            boxes, kinds = np.concatenate([boxes[:last], around[None]]), np.append(kinds[:last], np.uint8(_IGNORED))
        return boxes, kinds
