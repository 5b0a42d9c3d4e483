"""People whose alpha is known, for pictures of keypoints and boxes: its file beside the image, and cuts by the image's border."""

import os

import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS

from ..shard_members import split_path
from ..shard_parts import find_part
from ..tar_reader import BrokenTar
from .color_files import read_alpha
from .decoding import BadImage
from .loading import check_prob

__all__ = ['CutByBorder', 'LoadMatte']


@TRANSFORMS.register_module()
class LoadMatte(BaseTransform):
    """Read the alpha of people of an image, a file of the same name in another folder, as ``sapiens render`` writes it.

    The alpha of an image in a tar shard (:mod:`sapiens.datasets.shard_members`) is a part of the same sample:
    ``mattes='matting'`` reads ``KEY.matting.png``, as ``sapiens infer --out-format shards`` writes it.

    Geometry moves it with the image (``LoadPerson``, ``LoadDense``). Backgrounds and distractors need it.

    Required Keys: img_path

    Added Keys: gt_alpha (H, W) float32 in [0, 1]; none where there is no such file and ``optional`` is set

    Args:
        images, mattes: names of the folders; the last folder of the path that is called ``images`` becomes ``mattes``. In a shard
            ``mattes`` is the name of the part.
        suffix: of the files.
        optional: whether samples without the file pass.

    Raises:
        BadImage: no file, or one that is no alpha.
    """

    def __init__(self, images: str = 'rgb', mattes: str = 'alpha', suffix: str = '.png', optional: bool = False):
        self.images, self.mattes, self.suffix, self.optional = images, mattes, suffix, optional

    def transform(self, results: dict) -> dict:
        path, where = self._find(results['img_path'])
        if path is None:
            if self.optional:
                return results
            raise BadImage(f'no alpha of {results["img_path"]}: {where}; set optional=True to take images without it')
        try:
            results['gt_alpha'] = read_alpha(path)
        except BadImage as error:
            raise BadImage(f'{path}: {error}') from None
        return results

    def _find(self, image: str) -> tuple[str | None, str]:
        """The path of the alpha, None where there is none, and where it was looked for."""
        member = split_path(image)
        if member is not None:
            try:
                found = find_part(member, self.mattes, self.suffix)
            except BrokenTar as error:
                raise BadImage(str(error)) from None
            return found and str(found), f'its shard has no part {self.mattes + self.suffix!r} of this sample'
        parts = image.split('/')
        folders = [index for index, name in enumerate(parts[:-1]) if name == self.images]
        if not folders:
            return None, f'the path has no folder {self.images!r}'
        parts[folders[-1]] = self.mattes
        path = os.path.splitext('/'.join(parts))[0] + self.suffix
        return (path if os.path.isfile(path) else None), path


@TRANSFORMS.register_module()
class CutByBorder(BaseTransform):
    """Let the border of the image cut a person: what lies beyond a line is outside of the image, and the box holds what shows.

    One side of the box is cut off. ``LoadPerson`` shows black beyond the line, as it does outside of the image. Keypoints beyond
    it are not labeled. The box becomes that of the alpha that remains, where there is ``gt_alpha``, within the part of the former
    box. It precedes mmpose's transforms of boxes.

    Required Keys: bbox (1, 4) x1, y1, x2, y2; keypoints (1, K, 2), keypoints_visible (1, K); gt_alpha (H, W) where known

    Modified Keys: bbox, keypoints_visible

    Added Keys: image_border (4,) float64 x1, y1, x2, y2: the image ends there; only for a sample that is cut

    Args:
        prob: probability.
        kept: smallest and largest fraction of the box that remains, along the side that is shortened.
        sides: weights of a cut of the left, upper, right and lower part.
        least: a person with fewer labeled keypoints in the remaining part is not cut.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        prob: float = 0.3,
        kept: tuple = (0.35, 0.9),
        sides: tuple = (1.0, 0.5, 1.0, 2.0),
        least: int = 4,
    ):
        check_prob(prob=prob)
        if len(kept) != 2 or not 0 < kept[0] <= kept[1] <= 1:
            raise ValueError(f'kept={kept!r}: expected (smallest, largest) fraction, within (0, 1]')
        if len(sides) != 4 or min(sides) < 0 or not sum(sides) > 0:
            raise ValueError(f'sides={sides!r}: expected four weights: left, upper, right, lower')
        if not (isinstance(least, int) and least >= 1):
            raise ValueError(f'least={least!r}: expected a number of keypoints, 1 or more')
        self.prob, self.kept, self.least = prob, tuple(kept), least
        self.limits = np.cumsum(sides) / sum(sides)

    def transform(self, results: dict) -> dict:
        # Always drawn, so that later draws do not depend on the probability.
        chance, place, kept = np.random.random(), np.random.random(), np.random.uniform(*self.kept)
        if chance >= self.prob:
            return results
        box, side = results['bbox'][0].astype(np.float64), int(np.searchsorted(self.limits, place, 'right'))
        axis, is_far = side % 2, side >= 2
        length = box[2 + axis] - box[axis]
        line = box[axis] + kept * length if is_far else box[2 + axis] - kept * length
        # Pixels beyond the line belong to nobody: it lies between two of them.
        line = np.floor(line) + 0.5
        border = np.array([-np.inf, -np.inf, np.inf, np.inf])
        border[axis + 2 * is_far] = line
        inside = ((results['keypoints'] >= border[:2]) & (results['keypoints'] <= border[2:])).all(-1)
        visible = results['keypoints_visible'] * inside
        if (visible > 0).sum() < self.least:
            return results
        box = np.concatenate([np.maximum(box[:2], border[:2]), np.minimum(box[2:], border[2:])])
        results['keypoints_visible'] = visible.astype(np.float32)
        results['bbox'] = _box_of_alpha(results.get('gt_alpha'), box)[None].astype(np.float32)
        results['image_border'] = border
        return results


def _box_of_alpha(alpha: np.ndarray | None, box: np.ndarray) -> np.ndarray:
    """The smallest box around alpha of a half and more inside of a box; that box where there is none."""
    if alpha is None:
        return box
    height, width = alpha.shape
    left, top = np.maximum(np.ceil(box[:2]), 0).astype(int)
    right, bottom = np.minimum(np.floor(box[2:]), (width - 1, height - 1)).astype(int)
    shown = alpha[top : bottom + 1, left : right + 1] >= 0.5
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if len(rows) < 2 or len(columns) < 2:
        return box
    return np.array([left + columns[0], top + rows[0], left + columns[-1], top + rows[-1]], np.float64)
