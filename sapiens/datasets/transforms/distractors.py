"""Other people and objects pasted in front of people, behind them and into their hands."""

import os
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.coco import read_people
from sapiens.registry import TRANSFORMS
from sapiens.tasks import target_fields
from sapiens.utils.paths import describe_path, require_folder

from .background import Backgrounds
from .color_files import read_alpha
from .decoding import BadImage, EncodedImage
from .loading import check_prob, read_file
from .shown_people import ShownPeople
from .view import border_of, shown_mask

__all__ = ['CutOuts', 'HoldObjects', 'PasteObjects', 'PastePeople']

_COVERED = 0.5  # alpha from which a pixel belongs to what is pasted


class CutOuts:
    """People of a folder that ``sapiens render`` wrote, cut out by their alpha. They are read when they are first used, and kept.

    Args:
        root: folder with images and mattes of the same names.
        number: people that are used, evenly spread over the files.
        side: longer side in pixels to which they are reduced.
        images, mattes, labels: folders of the images, of alpha, and of label maps (None without).
        ann_file: COCO file below ``root``: only its images of one person are used, so that a cut-out is one person. None for all
            images.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no images with alpha, or none of one person.
    """

    def __init__(
        self,
        root: str,
        number: int = 256,
        side: int = 160,
        images: str = 'rgb',
        mattes: str = 'alpha',
        labels: str | None = None,
        ann_file: str | None = None,
    ):
        self.root, self.side = os.path.expanduser(root), side
        folder = require_folder(os.path.join(self.root, images), 'folder of people to paste')
        names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
        if ann_file is not None:
            alone = _images_of_one(os.path.join(self.root, ann_file))
            names = [name for name in names if f'{images}/{name}' in alone]
            if not names:
                raise ValueError(
                    f'no people to paste in {describe_path(folder)}: {ann_file!r} has no image of one person there'
                )
        spread = np.unique(np.linspace(0, len(names) - 1, min(number, len(names))).round().astype(int))
        self.files = []
        for index in spread if names else ():
            stem = os.path.splitext(names[index])[0]
            paths = [os.path.join(self.root, place, f'{stem}.png') for place in (mattes, labels) if place]
            if all(map(os.path.isfile, paths)):
                self.files.append((os.path.join(folder, names[index]), *paths))
        if not self.files:
            raise ValueError(
                f'no people to paste in {describe_path(folder)}: none of its images has alpha in {mattes!r}'
            )
        self._kept: dict[int, tuple] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(h, w, 4) uint8 RGBA of a person, and its classes (h, w) uint8 or None."""
        if number not in self._kept:
            self._kept[number] = self._read(*self.files[number])
        return self._kept[number]

    def _read(self, image: str, matte: str, labels: str | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        try:
            encoded = EncodedImage(read_file(image), 150)
            pixels, _ = encoded.crop((0, 0, *encoded.size), encoded.size, True)
            alpha = np.rint(255 * read_alpha(matte)).astype(np.uint8)
        except BadImage as error:
            raise BadImage(f'{image}, to be pasted: {error}') from None
        classes = None if labels is None else cv2.imread(labels, cv2.IMREAD_UNCHANGED)
        rows, columns = np.flatnonzero((alpha > 127).any(1)), np.flatnonzero((alpha > 127).any(0))
        if not len(rows):  # nobody shows
            return np.zeros((1, 1, 4), np.uint8), None if labels is None else np.zeros((1, 1), np.uint8)
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        cut = np.dstack([pixels[box], alpha[box]])
        scale = min(1.0, self.side / max(cut.shape[:2]))
        size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
        if classes is not None:
            classes = cv2.resize(classes[box], size, interpolation=cv2.INTER_NEAREST)
        return cut, classes


def _images_of_one(ann_file: str) -> set[str]:
    """Names of the images of a COCO file that show one person."""
    people = read_people(ann_file)
    counts = np.bincount(people.image[people.image >= 0], minlength=len(people.names))
    return {people.names[index] for index in np.flatnonzero(counts == 1)}


class _Paste(BaseTransform):
    """Base class: draws how many, where and how large, composes, and updates the labels.

    Args:
        prob: probability that something is pasted.
        most: largest number of pasted things.
        height: smallest and largest, as a fraction of the image's.
        front: probability that one is in front of the people. It is 1 for samples without ``gt_alpha``.
        covered: factor of the weight of keypoints that are covered: 0 takes their label away.
        least: one is not pasted in front if it leaves fewer labeled keypoints uncovered.
        least_shown: people with boxes of whom a smaller share shows are ignored: they are neither people nor background.
    """

    is_person = False

    def __init__(
        self, prob: float, most: int, height: tuple, front: float, covered: float, least: int, least_shown: float
    ):
        check_prob(prob=prob, front=front, covered=covered, least_shown=least_shown)
        if not (isinstance(most, int) and most >= 1):
            raise ValueError(f'most={most!r}: expected a number, 1 or more')
        if len(height) != 2 or not 0 < height[0] <= height[1]:
            raise ValueError(f'height={height!r}: expected (smallest, largest) fraction of the height, above 0')
        self.prob, self.most, self.height = prob, most, tuple(height)
        self.front, self.covered, self.least, self.least_shown = front, covered, least, least_shown

    def transform(self, results: dict) -> dict:
        # Two draws whatever happens, so that later ones do not depend on what is pasted.
        chance, seed = np.random.random(), np.random.randint(2**31)
        if chance >= self.prob:
            return results
        self._check(results)
        rng = np.random.default_rng(seed)
        results['img'] = results['img'].copy()
        people = ShownPeople(results, self.least_shown) if 'bbox_ignored' in results else None
        for _ in range(int(rng.integers(1, self.most + 1))):
            self._paste(results, rng, people)
        if people is not None:
            people.write(results)
        return results

    def cut_out(self, rng: np.random.Generator, results: Mapping) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw (h, w, 4) uint8 RGBA and its classes (h, w) uint8 or None."""
        raise NotImplementedError

    def length(self, cut: np.ndarray) -> int:
        """The side of a cut-out (h, w, 4) that ``height`` is about, in pixels."""
        return cut.shape[0]

    def center(self, rng: np.random.Generator, results: Mapping, size: tuple[int, int]) -> tuple[float, float] | None:
        """Draw where the center of something of a size (w, h) in pixels lies, (x, y) in pixels; None to leave it out."""
        height, width = results['img'].shape[:2]
        return rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height

    def _check(self, results: Mapping) -> None:
        if 'gt_foreground' in results:
            raise ValueError(f'{type(self).__name__}: samples with a foreground are not supported; leave it out')

    def _paste(self, results: dict, rng: np.random.Generator, people: ShownPeople | None) -> None:
        image = results['img']
        height, width = image.shape[:2]
        cut, classes = self.cut_out(rng, results)
        scale = rng.uniform(*self.height) * height / max(self.length(cut), 1)
        size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
        center = self.center(rng, results, size)
        if center is None:
            return
        left, top = (round(place - side / 2) for place, side in zip(center, size, strict=True))
        is_front = rng.random() < self.front or 'gt_alpha' not in results
        x, y = max(left, 0), max(top, 0)
        right, bottom = min(left + size[0], width), min(top + size[1], height)
        if right <= x or bottom <= y:
            return
        into, part = (slice(y, bottom), slice(x, right)), (slice(y - top, bottom - top), slice(x - left, right - left))
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        whole = float(cut[..., 3].sum()) / 255
        cut = cut[part]
        weight = cut[..., 3].astype(np.float32) * np.float32(1 / 255)
        if 'warp_matrix' in results:  # outside of the image there is nothing
            weight *= shown_mask(results['warp_matrix'], border_of(results), (width, height))[into]
        if not is_front:
            weight *= 1 - results['gt_alpha'][into]
        elif self._covers_too_much(results, weight, into):
            return
        colors = np.ascontiguousarray(cut[..., :3])
        image[into] = cv2.blendLinear(colors, np.ascontiguousarray(image[into]), weight, 1 - weight)
        covered = weight >= _COVERED
        if classes is not None:
            classes = cv2.resize(classes, size, interpolation=cv2.INTER_NEAREST)[part]
        self._update(results, into, covered, weight if is_front else None, classes)
        if people is not None and is_front:
            people.cover(into, weight)
        if people is not None and self.is_person:
            people.add(into, weight, whole)
            if 'gt_alpha' in results:  # of all people: what comes next is behind this one too
                results['gt_alpha'] = results['gt_alpha'].copy()
                results['gt_alpha'][into] += weight

    def _covers_too_much(self, results: Mapping, weight: np.ndarray, into: tuple) -> bool:
        if 'transformed_keypoints' not in results:
            return False
        left = (results['transformed_visible'] > 0) & ~_inside(results['transformed_keypoints'], weight, into)
        return int(left.sum()) < self.least

    def _update(
        self, results: dict, into: tuple, covered: np.ndarray, front: np.ndarray | None, classes: np.ndarray | None
    ) -> None:
        """Labels of a sample after a paste.

        Args:
            into: rows and columns of the image.
            covered: (h, w) bool, pixels there that show what was pasted.
            front: (h, w) float32, its alpha in front of people; None behind them.
            classes: (h, w) uint8 of its pixels; None if it has none.
        """

        def change(key: str, value: object) -> None:
            if key in results:
                results[key] = results[key].copy()
                part = results[key][into]
                part[covered] = value[covered] if isinstance(value, np.ndarray) else value

        others = [name for name in target_fields() if f'gt_{name}' in results and name not in ('sem_seg', 'alpha')]
        apart = 'valid_sem_seg' in results  # each field says where it is valid, see LoadLabels
        if 'gt_sem_seg' in results:
            change('gt_sem_seg', 0 if classes is None else classes)
            if apart or (self.is_person and classes is None):
                change('valid_sem_seg' if apart else 'valid_mask', not (self.is_person and classes is None))
            elif not others:
                change('valid_mask', True)
        if front is None:
            return
        if 'gt_alpha' in results:
            results['gt_alpha'] = results['gt_alpha'].copy()
            results['gt_alpha'][into] *= 1 - front
        change('gt_mask', False)
        change('gt_instance', 0)
        for name in others:
            change(f'valid_{name}' if apart else 'valid_mask', False)
        if 'transformed_keypoints' in results:
            hidden = _inside(results['transformed_keypoints'], front, into)
            factor = np.where(hidden, np.float32(self.covered), np.float32(1))
            results['transformed_visible'] = results['transformed_visible'] * factor


def _inside(points: np.ndarray, weight: np.ndarray, into: tuple) -> np.ndarray:
    """(1, K) bool: whether the pixel of a point (1, K, 2) is covered by a weight (h, w) at rows and columns of the image."""
    at = np.rint(points).astype(int) - (into[1].start, into[0].start)
    height, width = weight.shape
    within = ((at >= 0) & (at < (width, height))).all(-1)
    at = np.clip(at, 0, (width - 1, height - 1))
    return within & (weight[at[..., 1], at[..., 0]] >= _COVERED)


@TRANSFORMS.register_module()
class PastePeople(_Paste):
    """Paste other people in front of the people of an image and behind them.

    Behind people they are composed through ``gt_alpha``. Covered keypoints lose their label, class ids become those of the pasted
    person where its labels are known (else these pixels are not valid), and maps of depth and the like are not valid where people
    are covered. In samples with the boxes of all people (``bbox_ignored``), those who are pasted get one around what shows of
    them, the boxes of covered people shrink to what still shows, and people of whom less than ``least_shown`` shows are ignored.

    Required Keys: img (uint8 (H, W, 3) RGB) of the network's size; gt_alpha (H, W) for people behind; with bbox_ignored also
    warp_matrix

    Modified Keys: img; gt_alpha, gt_mask, gt_sem_seg, gt_instance, valid_mask, valid_<field>, transformed_visible, bbox and
    bbox_ignored where present

    Args:
        root, number, side, images, mattes, labels, ann_file: see :class:`CutOuts`. Samples with boxes need ``ann_file``.
        prob, most, height, front, covered, least, least_shown: see :class:`_Paste`.

    Raises:
        FileNotFoundError, ValueError: see :class:`CutOuts`; an argument out of its range; on use, samples of boxes of all people
            without ``ann_file``, where a cut-out might show several people.
        BadImage: a file that cannot be used.
    """

    is_person = True

    def __init__(
        self,
        root: str,
        prob: float = 0.3,
        most: int = 2,
        height: tuple = (0.3, 0.9),
        front: float = 0.3,
        covered: float = 0.0,
        least: int = 4,
        number: int = 256,
        side: int = 160,
        images: str = 'rgb',
        mattes: str = 'alpha',
        labels: str | None = None,
        ann_file: str | None = None,
        least_shown: float = 0.25,
    ):
        super().__init__(prob, most, height, front, covered, least, least_shown)
        self.people = CutOuts(root, number, side, images, mattes, labels, ann_file)
        self.of_one = ann_file is not None

    def _check(self, results: Mapping) -> None:
        super()._check(results)
        if 'bbox_ignored' in results and not self.of_one:
            raise ValueError(
                'PastePeople: with boxes of people each cut-out must be one person: give ann_file=, the COCO file of the people '
                'to paste'
            )

    def cut_out(self, rng, results):
        cut, classes = self.people[int(rng.integers(len(self.people)))]
        if classes is not None and results.get('label_table') is not None:
            classes = cv2.LUT(classes, results['label_table'])
        if rng.random() < 0.5:
            cut = cut[:, ::-1]
            if classes is not None:
                table = results.get('flip_table')
                classes = classes[:, ::-1] if table is None else cv2.LUT(np.ascontiguousarray(classes[:, ::-1]), table)
            cut = np.ascontiguousarray(cut)
        return cut, None if classes is None else np.ascontiguousarray(classes)


@TRANSFORMS.register_module()
class PasteObjects(_Paste):
    """Paste pieces of photographs in random shapes in front of people and behind them.

    Shapes are blobs, boxes and bars with soft edges. Labels change as in :class:`PastePeople`; their class is 0.

    Required Keys, Modified Keys: as :class:`PastePeople`

    Args:
        root, ann_file: photographs, see :class:`.background.Backgrounds`.
        memory: see there.
        prob, most, height, front, covered, least, least_shown: see :class:`_Paste`.

    Raises:
        FileNotFoundError, ValueError: see :class:`.background.Backgrounds`; an argument out of its range.
        BadImage: a photograph that cannot be used.
    """

    def __init__(
        self,
        root: str,
        prob: float = 0.3,
        most: int = 2,
        height: tuple = (0.1, 0.6),
        front: float = 0.5,
        covered: float = 0.0,
        least: int = 4,
        ann_file: str | None = None,
        memory: int | None = 320,
        least_shown: float = 0.25,
    ):
        super().__init__(prob, most, height, front, covered, least, least_shown)
        self.photographs = Backgrounds(root, ann_file, memory=memory)

    def cut_out(self, rng, results):
        number, place, kind = int(rng.integers(len(self.photographs))), rng.random(3), int(rng.integers(3))
        side = 48
        wide = side if kind < 2 else max(4, round(side * rng.uniform(0.1, 0.35)))
        pixels, _ = self.photographs.fitted(number, (wide, side), place)
        mask = np.zeros((side, wide), np.uint8)
        if kind == 0:
            angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
            radii = rng.uniform(0.45, 1, 9) * side / 2 * 0.95
            points = side / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 255)
        else:
            mask[2:-2, 2 : wide - 2] = 255
        mask = cv2.blur(mask, (3, 3))
        cut = np.dstack([pixels, mask])
        if kind == 2 and rng.random() < 0.5:
            cut = np.ascontiguousarray(cut.transpose(1, 0, 2))
        return cut, None


@TRANSFORMS.register_module()
class HoldObjects(PasteObjects):
    """Paste pieces of photographs at the hands of people, as if they held them.

    The box of an object holds the wrist, near its middle or its end. Keypoints that it covers keep their label: where a hand
    holds something, it is known where the hand is.

    Required Keys: as :class:`PastePeople`; transformed_keypoints (1, K, 2) and transformed_visible (1, K). Samples without a
    labeled wrist stay as they are.

    Modified Keys: as :class:`PastePeople`

    Args:
        root, prob, most, front, covered, least, ann_file, memory, least_shown: see :class:`PasteObjects`.
        height: smallest and largest longer side of an object, as a fraction of the image's height.
        hands: indices of the keypoints that hold something: COCO's wrists.

    Raises:
        FileNotFoundError, ValueError, BadImage: as :class:`PasteObjects`.
        KeyError: on use, samples without keypoints.
    """

    def __init__(
        self,
        root: str,
        prob: float = 0.3,
        most: int = 2,
        height: tuple = (0.05, 0.4),
        front: float = 0.7,
        covered: float = 1.0,
        least: int = 0,
        ann_file: str | None = None,
        memory: int | None = 320,
        least_shown: float = 0.25,
        hands: Sequence[int] = (9, 10),
    ):
        super().__init__(root, prob, most, height, front, covered, least, ann_file, memory, least_shown)
        self.hands = list(hands)

    def length(self, cut):
        return max(cut.shape[:2])

    def center(self, rng, results, size):
        points, visible = (results[f'transformed_{name}'][0][self.hands] for name in ('keypoints', 'visible'))
        wrists = points[visible > 0]
        if not len(wrists):
            return None
        x, y = wrists[int(rng.integers(len(wrists)))]
        # The wrist is in the middle 80 % of each side of the object's box.
        return float(x) + rng.uniform(-0.4, 0.4) * size[0], float(y) + rng.uniform(-0.4, 0.4) * size[1]
