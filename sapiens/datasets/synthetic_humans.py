"""Rendered people as a dataset without files."""

import importlib
import os

import numpy as np

from sapiens.metainfo import dataset_metainfo, get_classes, get_skeleton
from sapiens.registry import DATASETS

from .base import SampleDataset
from .draw import Draw, hash63
from .keypoints import skeleton_fields
from .transforms import Rejected

__all__ = ['SyntheticHumans']

_GENERATOR = 'sapiens.synthetic.generator:HumanGenerator'


# Class list -> labels of a rendered image.
PARTS = dict(goliath28='part', goliath29='part29', lip20='lip')


@DATASETS.register_module()
class SyntheticHumans(SampleDataset):
    """People rendered by the data loader's workers, with exact labels.

    The pipeline starts from a dict with

    - ``img``: (H, W, 3) uint8 RGB; ``img_path``: ``synthetic://<seed>``, for reports; ``ori_shape``, ``img_shape``: (H, W);
      ``sample_idx``;
    - with ``labels``, arrays over the same pixels: ``gt_sem_seg`` (H, W) uint8; ``gt_depth`` (H, W) float32 meters, 0 unknown;
      ``gt_normal`` (H, W, 3) float32 unit vectors in the camera frame (x right, y down, z forward), zeros unknown;
      ``gt_albedo`` (H, W, 3) float32 linear RGB; ``gt_alpha`` (H, W) float32; ``gt_foreground`` (H, W, 3) float32, sRGB-coded RGB
      times alpha; ``gt_instance`` (H, W) uint8, 0 or the person's number; ``flip_table`` (256,) uint8 of the classes;
      ``intrinsics`` (3, 3) float64, from which :class:`.transforms.LoadLabels` computes a pointmap where it is asked for; and for
      its N people ``bbox`` (N, 4) float32 x1, y1, x2, y2, ``keypoints`` (N, K, 2) float32, ``keypoints_visible`` (N, K) float32,
      1 where the point is inside the image, seen or hidden, and ``keypoints_seen`` (N, K) bool. The center of the top-left pixel
      is (0, 0);
    - with ``per_person``, ``img`` and what :class:`KeypointDataset` gives for one of the people, chosen at random.

    Which people appear depends on the :class:`Draw` only, so a run resumes exactly.

    Args:
        length: images in the dataset.
        size: (width, height) in pixels.
        people: fewest and most people in an image.
        backgrounds: folder of photographs without people to put behind; None for none.
        pipeline, test_mode: see :class:`SampleDataset`. The loading transforms accept ``img``. ``LoadDense`` also transforms
            the label maps; the others transform ``img`` only: set ``labels=False`` with them.
        seed: of the dataset.
        fixed: sample i is always the same image, as if it were a file, for evaluation and overfitting; the augmentation may
            differ. Otherwise each draw is a new image, for training without end; a plain int instead of a draw gives the
            fixed one.
        labels: False gives only the image.
        classes: 'goliath28', 'goliath29' or 'lip20', of ``gt_sem_seg``; lip20 has 255 where it has no class.
        skeleton: 'coco17', 'wholebody133' or 'goliath308', of ``keypoints``.
        per_person: a sample is one person, for pose, alone or in a :class:`CombinedDataset` with files of people.
        generator: 'module:class' with the arguments of :class:`sapiens.synthetic.generator.HumanGenerator`.
        metainfo: see :class:`SampleDataset`; with ``per_person`` it begins as that of the skeleton.
        **scene: further options of the generator, which refuses unknown ones at the first sample.

    Raises:
        ValueError: an argument out of its range; on access, see :class:`SampleDataset`.
        RuntimeError: on access, if the generator fails; the message has the seed.
    """

    def __init__(
        self,
        length: int,
        size: tuple = (768, 1024),
        people: tuple = (1, 4),
        backgrounds: str | None = None,
        pipeline: list = (),
        seed: int = 0,
        fixed: bool = True,
        labels: bool = True,
        classes: str = 'goliath28',
        skeleton: str = 'goliath308',
        per_person: bool = False,
        test_mode: bool = False,
        generator: str = _GENERATOR,
        metainfo: dict | None = None,
        **scene,
    ):
        if not (isinstance(length, int) and length > 0):
            raise ValueError(f'length={length!r}: expected a positive number of images')
        if classes not in PARTS:
            raise ValueError(f'classes={classes!r}: expected one of {", ".join(map(repr, PARTS))}')
        if skeleton not in ('coco17', 'wholebody133', 'goliath308'):
            raise ValueError(f"skeleton={skeleton!r}: expected 'coco17', 'wholebody133' or 'goliath308'")
        if per_person and not labels:
            raise ValueError('per_person=True: expected labels=True, since a sample has the keypoints of its person')
        self.length, self.seed, self.fixed, self.labels = length, seed, fixed, labels
        self.classes, self.keypoints, self.generator = classes, skeleton, generator
        # Of samples that are images, no transform brings keypoints into another skeleton.
        self.skeleton = get_skeleton(skeleton) if per_person else None
        first = dataset_metainfo(self.skeleton) if per_person else {}
        super().__init__(pipeline, {**first, **(metainfo or {})}, test_mode)
        self.options = dict(size=tuple(size), people=tuple(people), backgrounds=backgrounds, **scene)
        self._built = None  # (process id, generator)

    def __len__(self) -> int:
        return self.length

    def load(self, index: int) -> dict:
        return self.load_drawn(index, None)

    def load_drawn(self, index: int, seed: int | None) -> dict:
        seed = self.seed_of(index if seed is None else Draw(index, seed))
        generator = self._generator()
        try:
            made = generator(seed)
        except Exception as error:
            raise RuntimeError(
                f'{self.generator}(**{self.options!r})({seed}), sample {index} of {self!r}, failed: '
                f'{type(error).__name__}: {error}'
            ) from error
        results = dict(img=made.image, img_path=f'synthetic://{seed}', sample_idx=index)
        results['ori_shape'] = results['img_shape'] = made.image.shape[:2]
        if self.skeleton is not None:
            return results | self._person(made, index, seed)
        return results | self._labels(made) if self.labels else results

    def seed_of(self, draw: Draw | int) -> int:
        """The seed that the generator gets for a draw."""
        if isinstance(draw, Draw):
            return hash63(self.seed, draw.index if self.fixed else draw.seed)
        return hash63(self.seed, int(draw))

    def _people(self, made) -> dict:
        points = [person.keypoints[self.keypoints] for person in made.people]
        points = np.array(points, np.float32).reshape(-1, len(get_skeleton(self.keypoints)), 3)
        boxes = np.array([person.bbox for person in made.people], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return dict(
            bbox=boxes,
            keypoints=points[..., :2],
            keypoints_visible=(points[..., 2] > 0).astype(np.float32),
            keypoints_seen=points[..., 2] == 2,
        )

    def _labels(self, made) -> dict:
        return dict(
            flip_table=np.asarray(get_classes(self.classes).flip_table),
            gt_sem_seg=getattr(made, PARTS[self.classes]),
            **{
                f'gt_{name}': getattr(made, name)
                for name in ('depth', 'normal', 'albedo', 'alpha', 'foreground', 'instance')
            },
            intrinsics=made.camera.intrinsics,
            **self._people(made),
        )

    def _person(self, made, index: int, seed: int) -> dict:
        people = self._people(made)
        usable = np.flatnonzero(people.pop('keypoints_seen').any(1))
        if not len(usable):
            raise Rejected('an image without a person who shows a keypoint')
        number = int(usable[hash63(seed, 1) % len(usable)])
        person = {key: values[number : number + 1] for key, values in people.items()}
        # As boxes of files: to the centers of the outermost pixels.
        person['bbox'] = np.minimum(person['bbox'], np.tile(np.float32(made.image.shape[1::-1]) - 1, 2))
        return dict(
            person,
            bbox_score=np.ones(1, np.float32),
            img_id=index,
            id=number,
            category_id=1,
            area=float(made.people[number].area),
            iscrowd=0,
            **skeleton_fields(self.skeleton),
        )

    def _generator(self):
        # Built where it is used: the renderer survives neither a pickle nor a fork.
        if self._built is None or self._built[0] != os.getpid():
            module, _, name = self.generator.partition(':')
            self._built = os.getpid(), getattr(importlib.import_module(module), name)(**self.options)
        return self._built[1]

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _built=None)

    def __repr__(self) -> str:
        width, height = self.options['size']
        return f'{type(self).__name__}({self.length} images of {width} x {height}, seed={self.seed})'
