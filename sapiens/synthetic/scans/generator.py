"""Images of scans with depth, normals, albedo and alpha, from a seed."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..backgrounds import list_images, load_background, match_light
from ..camera import Camera
from ..lens import defocus
from ..photo import Photo, develop, develop_foreground, sample_photo
from ..render import Lighting, render
from ..rooms import sample_place
from ..scene import aim_at, sample_yaw
from ..threads import one_thread
from .environments import backdrop, find_environments, light_of, read_environment
from .scan import UPS, Scan, load_scan

__all__ = ['SHOTS', 'ScanGenerator', 'ScanSample', 'points_of']

# Weight of each framing.
SHOTS = {'face': 0.3, 'upper': 0.3, 'full': 0.4}

_FILL = {'face': (0.5, 0.95), 'upper': (0.75, 1.05), 'full': (0.72, 0.97)}  # of the image
_FACE = 0.17  # meters around the middle of the head
_REFLECTANCE = 0.4  # mean of what photographs show: their light is brighter than they are by this factor
_KEPT = 2  # scans and maps in memory; a scan with an image of 4096 x 4096 pixels takes 100 MB


@dataclass
class ScanSample:
    """An image of a scan and its labels; H x W is the same for all. Frames and units are those of
    :class:`sapiens.synthetic.sample.SyntheticSample`.

    Attributes:
        image: (H, W, 3) uint8 sRGB.
        depth: (H, W) float32 meters along z; 0 where unknown.
        normal: (H, W, 3) float32 unit vectors in the camera frame; zeros where unknown.
        albedo: (H, W, 3) float32 linear RGB in [0, 1].
        alpha: (H, W) float32 in [0, 1], with the blur of the image.
        foreground: (H, W, 3) float32 in [0, 1], sRGB-coded color without background, times alpha.
        mask: (H, W) bool, pixels whose center shows the scan.
        camera: the camera.
        attributes: scan, shot, light and what is behind, by name.
        seed: of this image.
    """

    image: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    mask: np.ndarray
    camera: Camera
    attributes: dict
    seed: int


class ScanGenerator:
    """Renders scans: ``ScanGenerator(paths, unit=0.01)(seed, number)``.

    The same seed, scan and options give the same arrays, regardless of earlier calls.

    Args:
        scans: files, see :func:`.files.find_scans`.
        unit: meters of one unit of the files; or one number for each of them.
        up: axis of the files that points up, see :data:`.scan.UPS`.
        size: (width, height) of images in pixels.
        environments: folder of environment maps, see :mod:`.environments`. None: rooms and streets with their lights.
        backgrounds: folder of photographs without people.
        background_share: fraction of the images with such a photograph behind.
        shots: framing -> weight, see :data:`SHOTS`.
        photo: False for images as they are rendered: without noise, blur, compression and a random exposure.
        rays: additional rays for each pixel on an edge; 0 for hard edges.
        device: of the ray casting, 'cpu' or 'cuda'.

    Raises:
        ValueError: an option is out of range, or a folder has no files of its kind.
        FileNotFoundError: a folder does not exist.
    """

    def __init__(
        self,
        scans: list,
        unit: float | list[float] = 1.0,
        up: str = 'y',
        size: tuple[int, int] = (768, 1024),
        environments: str | Path | None = None,
        backgrounds: str | Path | None = None,
        background_share: float = 0.8,
        shots: dict | None = None,
        photo: bool = True,
        rays: int = 3,
        device: str = 'cpu',
    ):
        self.scans = [Path(path) for path in scans]
        self.units = [unit] * len(self.scans) if np.isscalar(unit) else list(unit)
        if not self.scans or len(self.units) != len(self.scans) or not min(self.units) > 0:
            raise ValueError(
                f'{len(self.scans)} scans, unit={unit}: expected scans, and the meters of a unit, or one for each'
            )
        if up not in UPS:
            raise ValueError(f'up={up!r}: expected one of {", ".join(UPS)}')
        if min(size) < 32:
            raise ValueError(f'size={tuple(size)}: expected (width, height) of at least 32 pixels')
        if not 0 <= rays <= 64:
            raise ValueError(f'rays={rays}: expected 0 to 64')
        if not 0 <= background_share <= 1:
            raise ValueError(f'background_share={background_share}: expected a fraction between 0 and 1')
        shots = SHOTS if shots is None else shots
        if set(shots) - set(SHOTS) or not (min(shots.values(), default=0) >= 0 and sum(shots.values()) > 0):
            raise ValueError(f'shots={shots}: expected weights of {", ".join(SHOTS)}, at least 0 and not all 0')
        self.up, self.size, self.shots = up, (int(size[0]), int(size[1])), shots
        self.environments = [] if environments is None else find_environments(environments)
        self.backgrounds = [] if backgrounds is None else list_images(Path(backgrounds).expanduser())
        self.background_share, self.photo, self.rays, self.device = background_share, photo, rays, device
        self._kept: OrderedDict = OrderedDict()

    def __call__(self, seed: int, number: int) -> ScanSample:
        """Render an image.

        Args:
            number: of the scan.
        """
        rng = np.random.default_rng(seed)
        with one_thread():
            return self._render(rng, seed, number)

    def scan(self, number: int) -> Scan:
        """A scan, which is kept for the next images."""
        return self._keep(('scan', number), lambda: load_scan(self.scans[number], self.units[number], self.up))

    def _keep(self, key: tuple, load: Callable):
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        kept = [other for other in self._kept if other[0] == key[0]]
        for other in kept[: max(len(kept) + 1 - _KEPT, 0)]:
            del self._kept[other]
        self._kept[key] = load()
        return self._kept[key]

    def _render(self, rng: np.random.Generator, seed: int, number: int) -> ScanSample:
        scan = self.scan(number)
        shot = str(rng.choice(list(self.shots), p=np.array(list(self.shots.values())) / sum(self.shots.values())))
        scan = scan.turned(sample_yaw(rng, 'head' if shot == 'face' else shot))
        camera = aim_at(rng, points_of(scan, shot), rng.uniform(*_FILL[shot]), self.size)
        photo = sample_photo(rng) if self.photo else Photo()
        radius = float(np.linalg.norm(scan.points[:, :2], axis=1).max()) + 0.15
        place = sample_place(rng, radius, camera.position, {'shoes'})
        things, planes, lighting, background = place.things, place.planes, place.lighting, None
        attributes = dict(scan=scan.name, shot=shot, light=place.kind, behind=place.kind)
        if self.environments:
            path = self.environments[int(rng.integers(len(self.environments)))]
            image = self._keep(('map', path), lambda: read_environment(path))
            turn = float(rng.uniform(-np.pi, np.pi))
            lighting, background = light_of(image, turn), backdrop(image, camera, turn)
            things, planes = [], planes[:1]
            attributes.update(light=path.name, behind=path.name)
        if self.backgrounds and rng.random() < self.background_share:
            path = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
            background = load_background(path, camera, rng)
            lighting = self._light_before(background, lighting)
            things, planes = [], planes[:1]
            photo.aperture = 0.0  # the photograph has its own focus
            attributes.update(behind=path.name)
        return self._photograph(scan, things, planes, camera, lighting, background, photo, attributes, seed, rng)

    def _light_before(self, background: np.ndarray, lighting: Lighting) -> Lighting:
        """Light for a scan before a photograph: that of an environment map, as bright as the photograph; or the photograph's."""
        if lighting.around is None:
            return match_light(background, lighting)
        level = max(float(background.mean()), 0.02) / _REFLECTANCE
        lighting.sun_color = tuple(level * value for value in lighting.sun_color)
        lighting.around = level * lighting.around
        return lighting

    def _photograph(
        self, scan, things, planes, camera, lighting, background, photo, attributes, seed, rng
    ) -> ScanSample:
        rendering = render(
            [scan.surfaces],
            things,
            planes,
            camera,
            lighting,
            background,
            seed=seed,
            rays=self.rays,
            device=self.device,
        )
        if photo.aperture:
            rendering.color = defocus(rendering, photo.aperture, camera.intrinsics[0, 0])
        exposed = rendering.color, 0.1 + rendering.alpha, photo
        image = develop(*exposed, rng)
        foreground, alpha = develop_foreground(rendering.front, rendering.alpha, *exposed, image)
        return ScanSample(
            image=image,
            depth=rendering.depth,
            normal=rendering.normal,
            albedo=np.clip(rendering.albedo, 0, 1),
            alpha=alpha,
            foreground=foreground,
            mask=rendering.instance > 0,
            camera=camera,
            attributes=attributes,
            seed=seed,
        )


def points_of(scan: Scan, shot: str) -> np.ndarray:
    """(N, 3) points of a scan that an image of a framing has in its middle: its head, its upper half, or all of it."""
    points = scan.points.astype(np.float64)[::10]
    if shot == 'full':
        return points
    near = np.linalg.norm(points - scan.head, axis=1) < _FACE
    if shot == 'face':
        return points[near] if near.any() else scan.head + _FACE * np.concatenate([np.eye(3), -np.eye(3)])
    # From the waist up, without arms that are stretched far to the side or upwards.
    waist = 0.55 * scan.head[2]
    upper = (points[:, 2] > waist) & (points[:, 2] < scan.head[2] + _FACE)
    sides = np.abs(points[:, :2] - scan.head[:2]).max(1) < 0.6
    return points[upper & sides | near]
