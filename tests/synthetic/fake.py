"""A generator with the signature of the real one that draws ellipses: fast, and consistent in all its labels."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from sapiens.bulk import UnitFailed
from sapiens.metainfo import get_skeleton
from sapiens.synthetic.camera import Camera
from sapiens.synthetic.making import Maker
from sapiens.synthetic.sample import PersonLabel, SyntheticSample

SKELETONS = ('coco17', 'wholebody133', 'goliath308')


class FakeGenerator:
    """People are upright ellipses at constant depths; keypoints lie on a spiral in them.

    ``fail_at``: a seed that raises, to test what a failure looks like. ``delay``: seconds that an image takes.
    """

    def __init__(self, size=(768, 1024), people=(1, 4), backgrounds=None, fail_at=None, delay=0):
        self.size, self.people, self.backgrounds = tuple(size), tuple(people), backgrounds
        self.fail_at, self.delay = fail_at, delay

    def __call__(self, seed):
        time.sleep(self.delay)
        if seed == self.fail_at:
            raise RuntimeError('the ellipse does not fit')
        rng = np.random.default_rng(seed)
        width, height = self.size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        instance = np.zeros((height, width), np.uint8)
        depth = np.zeros((height, width), np.float32)
        count = int(rng.integers(self.people[0], self.people[1] + 1))
        ellipses = []
        for number in range(1, count + 1):  # from far to near
            center = rng.uniform(0.2, 0.8, 2) * self.size
            radii = rng.uniform(0.08, 0.2) * width, rng.uniform(0.15, 0.35) * height
            inside = ((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2 < 1
            instance[inside], depth[inside] = number, 6 - number / count
            ellipses.append((center, radii))
        mask = instance > 0
        normal = np.where(mask[..., None], np.float32([0.6, 0, -0.8]), np.float32(0)).astype(np.float32)
        albedo = rng.uniform(0, 1, (256, 3)).astype(np.float32)[instance]
        intrinsics = np.array([[900.0, 0, (width - 1) / 2], [0, 900, (height - 1) / 2], [0, 0, 1]])
        camera = Camera(intrinsics, np.eye(3), np.array([0, 0, 0.5]), width, height)
        people = [self._person(number + 1, *ellipse, instance) for number, ellipse in enumerate(ellipses)]
        return SyntheticSample(
            image=(albedo * 255).astype(np.uint8),
            depth=depth,
            normal=normal,
            albedo=albedo,
            alpha=mask.astype(np.float32),
            foreground=(albedo * 255).astype(np.uint8) * (mask / np.float32(255))[..., None],
            part=np.where(mask, 1 + instance % 27, 0).astype(np.uint8),
            part29=np.where(mask, 1 + instance % 28, 0).astype(np.uint8),
            lip=np.where(mask, np.where(instance == 1, 255, instance % 20), 0).astype(np.uint8),
            instance=instance,
            camera=camera,
            people=[person for person in people if person.area],
            seed=seed,
        )

    def _person(self, number, center, radii, instance):
        height, width = instance.shape
        keypoints, spatial = {}, {}
        for name in SKELETONS:
            turn = np.arange(len(get_skeleton(name))) * 2.4
            share = np.linspace(0, 1.2, len(turn))
            points = np.stack(
                [center[0] + share * radii[0] * np.cos(turn), center[1] + share * radii[1] * np.sin(turn)], -1
            )
            column, row = np.rint(points).astype(int).T
            inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
            seen = inside & (instance[row.clip(0, height - 1), column.clip(0, width - 1)] == number)
            v = np.where(seen, 2, np.where(inside, 1, 0))
            keypoints[name] = np.column_stack([np.where(inside[:, None], points, 0), v]).astype(np.float32)
            spatial[name] = np.full((len(turn), 3), np.nan, np.float32)
        mask = instance == number
        bbox = np.zeros(4, np.float32)
        if mask.any():
            x, y = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            bbox[:] = x[0], y[0], x[-1] - x[0] + 1, y[-1] - y[0] + 1
        return PersonLabel(number, keypoints, spatial, bbox, int(mask.sum()), dict(age=number / 10))


class CountingGenerator(FakeGenerator):
    """Leaves a line with the seed of every image in ``calls``, in a file with the number of the process."""

    def __init__(self, calls, **options):
        super().__init__(**options)
        self.calls = Path(calls)

    def __call__(self, seed):
        with open(self.calls / str(os.getpid()), 'a') as file:
            file.write(f'{seed}\n')
        return super().__call__(seed)


class FileMaker(Maker):
    """Makes a file of each index, and a line in ``calls`` for every call.

    ``kills``: an index that kills its process, once where ``marker`` is given. ``fails``: one that cannot be made.
    """

    def __init__(self, folder, kills=None, marker=None, fails=None):
        self.folder, self.kills, self.marker, self.fails = Path(folder), kills, marker, fails

    def is_made(self, index):
        return (self.folder / f'files/{index}').exists()

    def __call__(self, index):
        with open(self.folder / 'calls', 'a') as file:
            file.write(f'{index}\n')
        if index == self.fails:
            raise UnitFailed(f'number {index} does not fit\ntwo lines')
        if index == self.kills and not (self.marker and Path(self.marker).exists()):
            if self.marker:
                Path(self.marker).touch()
            (self.folder / 'files/.half.0123456789ab.tmp').write_text('')
            os.kill(os.getpid(), signal.SIGKILL)
        (self.folder / f'files/{index}').write_text(str(index))

    def called(self):
        path = self.folder / 'calls'
        return [int(line) for line in path.read_text().split()] if path.exists() else []
