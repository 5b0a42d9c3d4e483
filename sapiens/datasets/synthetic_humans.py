"""Rendered people as a data set without files."""

import importlib
import os

import numpy as np
from torch.utils.data import Dataset

from sapiens.metainfo import get_classes, get_skeleton
from sapiens.registry import DATASETS

from .base import build_pipeline
from .draw import Draw, hash63, seed_everything_for
from .transforms import BadImage

__all__ = ['SyntheticHumans']

_TRIES = 10
_GENERATOR = 'sapiens.synthetic.generator:HumanGenerator'


@DATASETS.register_module()
class SyntheticHumans(Dataset):
    """People rendered by the data loader's workers, with exact labels.

    ``dataset[draw]`` runs the pipeline on a dict with

    - ``img``: (H, W, 3) uint8 RGB; ``img_path``: ``synthetic://<seed>``, for reports; ``ori_shape``, ``img_shape``: (H, W);
      ``sample_idx``;
    - with ``labels``, arrays over the same pixels: ``gt_sem_seg`` (H, W) uint8; ``gt_depth`` (H, W) float32 metres, 0 unknown;
      ``gt_normal`` (H, W, 3) float32 unit vectors in the camera frame (x right, y down, z forward), zeros unknown;
      ``gt_albedo`` (H, W, 3) float32 linear RGB; ``gt_alpha`` (H, W) float32; ``gt_instance`` (H, W) uint8, 0 or the person's
      number; ``flip_table`` (256,) uint8 of the classes; ``intrinsics`` (3, 3) float64; and for its N people ``bbox`` (N, 4)
      float32 x1, y1, x2, y2, ``keypoints`` (N, K, 2) float32, ``keypoints_visible`` (N, K) float32, 1 where the point is inside
      the image, seen or hidden, and ``keypoints_seen`` (N, K) bool. The centre of the top-left pixel is (0, 0).

    and returns its result with ``bad``, the (path, reason) of images that the pipeline refused and others replaced. Which
    people come depends on the :class:`Draw` only, so a run resumes exactly.

    Args:
        length: images in the data set.
        size: (width, height) in pixels.
        people: fewest and most people in an image.
        backgrounds: folder of photographs without people to put behind; None for none.
        pipeline: transforms or their configs; its first one finds ``img``, which the loading transforms take too.
            ``LoadDense`` moves the labels over the pixels with it; the others act on ``img`` only: set ``labels=False`` with
            them.
        seed: of the data set.
        fixed: sample i is always the same image, as if it were a file, for evaluation and to overfit; the augmentation may
            differ. Otherwise each draw is a new image, for training without end; a plain int instead of a draw gives the
            fixed one.
        labels: False leaves all but the image out.
        classes: 'goliath28' or 'lip20', of ``gt_sem_seg``; lip20 has 255 where it has no class.
        skeleton: 'coco17', 'wholebody133' or 'goliath308', of ``keypoints``.
        generator: 'module:class' with the arguments of :class:`sapiens.synthetic.generator.HumanGenerator`.
        metainfo: ``dataset_name`` and whatever evaluation and visualization want to know.
        **scene: the generator's further options; it refuses those it does not know, at the first sample.

    Raises:
        ValueError: an argument out of its range; on access, where the pipeline refuses ten images in a row.
        RuntimeError: on access, where the generator fails; the message has the seed.
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
        generator: str = _GENERATOR,
        metainfo: dict | None = None,
        **scene,
    ):
        if not (isinstance(length, int) and length > 0):
            raise ValueError(f'length={length!r}: expected a positive number of images')
        if classes not in ('goliath28', 'lip20'):
            raise ValueError(f"classes={classes!r}: expected 'goliath28' or 'lip20'")
        if skeleton not in ('coco17', 'wholebody133', 'goliath308'):
            raise ValueError(f"skeleton={skeleton!r}: expected 'coco17', 'wholebody133' or 'goliath308'")
        self.length, self.seed, self.fixed, self.labels = length, seed, fixed, labels
        self.classes, self.skeleton, self.generator = classes, skeleton, generator
        self.options = dict(size=tuple(size), people=tuple(people), backgrounds=backgrounds, **scene)
        self.pipeline = build_pipeline(pipeline)
        self.metainfo = {'dataset_name': type(self).__name__, **(metainfo or {})}
        self._built = None  # (process id, generator)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, draw: Draw | int) -> dict:
        index = draw.index if isinstance(draw, Draw) else int(draw)
        seed = self.seed_of(draw)
        bad = []
        with seed_everything_for(draw):
            for _ in range(_TRIES):
                results = self._make(seed, index)
                path = results['img_path']
                try:
                    sample = self.pipeline(results)
                except BadImage as error:
                    bad.append((path, str(error)))
                    index = int(np.random.randint(self.length))
                    seed = hash63(self.seed, index) if self.fixed else hash63(seed, len(bad))
                    continue
                sample['bad'] = bad
                return sample
        listing = '\n'.join(f'  {path}: {reason}' for path, reason in bad)
        raise ValueError(f'the pipeline refused {_TRIES} images in a row of {self!r}:\n{listing}')

    def seed_of(self, draw: Draw | int) -> int:
        """The seed that the generator gets for a draw."""
        if isinstance(draw, Draw) and not self.fixed:
            return hash63(self.seed, draw.seed)
        return hash63(self.seed, draw.index if isinstance(draw, Draw) else int(draw))

    def _make(self, seed: int, index: int) -> dict:
        generator = self._generator()
        try:
            made = generator(seed)
        except Exception as error:
            raise RuntimeError(
                f'{self.generator}(**{self.options!r})({seed}), sample {index} of {self!r}, failed: '
                f'{type(error).__name__}: {error}'
            ) from error
        shape = made.image.shape[:2]
        results = dict(
            img=made.image, img_path=f'synthetic://{seed}', ori_shape=shape, img_shape=shape, sample_idx=index
        )
        if not self.labels:
            return results
        points = [person.keypoints[self.skeleton] for person in made.people]
        points = np.array(points, np.float32).reshape(-1, len(get_skeleton(self.skeleton)), 3)
        boxes = np.array([person.bbox for person in made.people], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return dict(
            results,
            flip_table=np.asarray(get_classes(self.classes).flip_table),
            gt_sem_seg=made.part if self.classes == 'goliath28' else made.lip,
            gt_depth=made.depth,
            gt_normal=made.normal,
            gt_albedo=made.albedo,
            gt_alpha=made.alpha,
            gt_instance=made.instance,
            intrinsics=made.camera.intrinsics,
            bbox=boxes,
            keypoints=points[..., :2],
            keypoints_visible=(points[..., 2] > 0).astype(np.float32),
            keypoints_seen=points[..., 2] == 2,
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
