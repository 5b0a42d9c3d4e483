"""Generator of images of people with all labels, from a seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from .body import load_body
from .camera import Camera
from .keypoints import SKELETONS, brow_lines, iris_centres, load_landmarks, visibility
from .lens import defocus
from .photo import develop, develop_foreground, to_linear
from .render import Lighting, Rendering, render
from .sample import PersonLabel, SyntheticSample
from .scene import SHOTS, Scene, sample_scene
from .wardrobe.labels import split_parts

__all__ = ['HumanGenerator']

_SUFFIXES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp')


class HumanGenerator:
    """Generates images of clothed people with exact labels: ``HumanGenerator(size=(768, 1024))(seed)``.

    The same seed and options give the same arrays, regardless of earlier calls.

    Args:
        size: (width, height) in pixels.
        people: minimum and maximum number of people in an image.
        backgrounds: folder of photographs without people, searched recursively; None: only rendered rooms and streets.
        background_share: fraction of the images with such a photograph as background.
        occlusion: fraction of the images with an object in front of the main person.
        shots: framing -> weight; see :data:`sapiens.synthetic.scene.SHOTS`.
        rays: additional rays for each pixel on an edge; 0 for hard edges.
        hair_rays: those on edges of hair: n give n + 1 levels of alpha, for matting. None for as many as elsewhere.
        device: device of the ray casting, 'cpu' or 'cuda'.
        empty: leave the people out after the scene is drawn: the same places, cameras and lights without anyone.

    Raises:
        ValueError: an option is out of range, or ``backgrounds`` has no images.
        FileNotFoundError: the folder ``backgrounds`` does not exist.
    """

    def __init__(
        self,
        size: tuple[int, int] = (768, 1024),
        people: tuple[int, int] = (1, 4),
        backgrounds: str | Path | None = None,
        background_share: float = 0.8,
        occlusion: float = 0.2,
        shots: dict | None = None,
        rays: int = 3,
        hair_rays: int | None = None,
        device: str = 'cpu',
        empty: bool = False,
    ):
        width, height = size
        if min(width, height) < 32:
            raise ValueError(f'size={tuple(size)}: expected (width, height) of at least 32 pixels')
        for name, value in (('rays', rays), ('hair_rays', rays if hair_rays is None else hair_rays)):
            if not 0 <= value <= 64:
                raise ValueError(f'{name}={value}: expected 0 to 64')
        if not 1 <= people[0] <= people[1] <= 20:
            raise ValueError(f'people={tuple(people)}: expected (fewest, most) with 1 <= fewest <= most <= 20')
        for name, value in (('background_share', background_share), ('occlusion', occlusion)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name}={value}: expected a fraction between 0 and 1')
        unknown = set(shots or ()) - set(SHOTS)
        if unknown:
            raise ValueError(f'shots has {sorted(unknown)}: expected some of {", ".join(SHOTS)}')
        if shots is not None and not (min(shots.values(), default=0) >= 0 and sum(shots.values()) > 0):
            raise ValueError(f'shots={shots}: expected weights of at least 0, not all 0')
        self.size, self.people = (int(width), int(height)), tuple(people)
        self.backgrounds = [] if backgrounds is None else _list_images(Path(backgrounds).expanduser())
        self.background_share, self.occlusion, self.shots = background_share, occlusion, shots
        self.rays, self.hair_rays, self.device, self.empty = rays, hair_rays, device, empty

    def __call__(self, seed: int) -> SyntheticSample:
        rng = np.random.default_rng(seed)
        with _one_thread():
            return self._photograph(self.scene(rng), seed, rng)

    def sequence(self, seed: int, frames: int, sway: float = 0.03) -> Iterator[SyntheticSample]:
        """Images of one scene in which nothing moves, by a camera that somebody holds: for what has to hold still in video.

        The camera goes once along a closed curve around its place and keeps looking at the same points. Noise differs from image
        to image.

        Args:
            seed: of the scene, which is that of ``self(seed)``.
            frames: number of images.
            sway: largest distance of the camera from its place in meters.

        Raises:
            ValueError: fewer than 1 image, a negative distance, or a generator with ``empty``: the camera turns around people.
        """
        if frames < 1 or not sway >= 0:
            raise ValueError(f'frames={frames}, sway={sway}: expected at least 1 image, and 0 meters or more')
        if self.empty:
            raise ValueError('empty=True: a sequence needs people, around whom the camera turns')
        with _one_thread():
            scene = self.scene(np.random.default_rng(seed))
        place, middle = scene.camera, np.mean([person.posed.vertices.mean(0) for person in scene.people], 0)
        for number in range(frames):
            angle = 2 * np.pi * number / frames
            scene.camera = place.moved((sway * np.sin(angle), 0.5 * sway * np.sin(2 * angle), 0.0), middle)
            with _one_thread():
                sample = self._photograph(scene, seed, np.random.default_rng((seed, number)))
            yield sample

    def _photograph(self, scene: Scene, seed: int, rng: np.random.Generator) -> SyntheticSample:
        rendering = self.render(scene, seed)
        if scene.photo.aperture:
            rendering.color = defocus(rendering, scene.photo.aperture, scene.camera.intrinsics[0, 0])
        exposed = rendering.color, 0.1 + rendering.alpha, scene.photo
        image = develop(*exposed, rng)
        foreground, alpha = develop_foreground(rendering.front, rendering.alpha, *exposed, image)
        part, part29 = split_parts(rendering.part)
        people = [_label(person, index + 1, scene, rendering) for index, person in enumerate(scene.people)]
        return SyntheticSample(
            image=image,
            depth=rendering.depth,
            normal=rendering.normal,
            albedo=np.clip(rendering.albedo, 0, 1),
            alpha=alpha,
            foreground=foreground,
            part=part,
            part29=part29,
            lip=rendering.lip,
            instance=rendering.instance,
            camera=scene.camera,
            people=[person for person in people if person.area],
            seed=seed,
        )

    def scene(self, rng: np.random.Generator) -> Scene:
        """Draw a random scene."""
        scene = sample_scene(load_body(), rng, self.size, self.people, self.occlusion, self.shots)
        if self.backgrounds and rng.random() < self.background_share:
            path = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
            scene.background = _load_background(path, scene.camera, rng)
            scene.lighting = _match_light(scene.background, scene.lighting)
            scene.planes, scene.place, scene.ground = scene.planes[:1], 'photograph', 'photograph'
            scene.things = [surface for surface in scene.things if surface.name in _KEPT_OBJECTS]
            scene.photo.aperture = 0.0  # the photograph has its own focus
        if self.empty:
            scene.people = []
        return scene

    def render(self, scene: Scene, seed: int) -> Rendering:
        """Render a scene."""
        return render(
            [person.surfaces for person in scene.people],
            scene.things,
            scene.planes,
            scene.camera,
            scene.lighting,
            scene.background,
            face=(brow_lines(), *iris_centres()),
            seed=seed,
            rays=self.rays,
            hair_rays=self.hair_rays,
            device=self.device,
        )


# Focal length of photographs relative to their longer side.
_PHOTO_FOCAL = 28 / 36
# Objects that stay if a photograph replaces the room: seats and occluders.
_KEPT_OBJECTS = ('seat', 'leg', 'back rest', 'post', 'counter', 'box', 'shelf', 'ball', 'leaves')


def _label(person, instance: int, scene: Scene, rendering: Rendering) -> PersonLabel:
    mask = rendering.instance == instance
    area = int(mask.sum())
    keypoints, spatial = {}, {}
    for skeleton in SKELETONS:
        marks = load_landmarks(skeleton)
        points = marks.locate(person.posed)
        keypoints[skeleton] = visibility(
            points, marks, scene.camera, rendering.depth, rendering.instance, rendering.region, instance, person.size
        )
        spatial[skeleton] = scene.camera.to_camera(points.astype(np.float64)).astype(np.float32)
    bbox = np.zeros(4, np.float32)
    if area:
        x, y = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        bbox[:] = x[0], y[0], x[-1] - x[0] + 1, y[-1] - y[0] + 1
    attributes = dict(person.attributes, shot=scene.shot, place=scene.place, ground=scene.ground)
    return PersonLabel(instance, keypoints, spatial, bbox, area, attributes)


def _list_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f'no folder of backgrounds {str(folder)!r}')
    found = sorted(path for path in folder.rglob('*') if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ValueError(
            f'no images in backgrounds={str(folder)!r}: no file at any depth ends in {", ".join(_SUFFIXES)}'
        )
    return found


def _load_background(path: Path, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Load a crop of a photograph, sometimes mirrored; linear RGB.

    The photograph is taken for a level one by a lens of 28 mm. The crop has about the field of view of the camera, and its
    horizon at that of the camera, as far as the photograph reaches: people who stand on its ground then have its scale.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'the background {str(path)!r} is not a readable image: fix or remove it')
    width, height = camera.width, camera.height
    whole = min(image.shape[1] / width, image.shape[0] / height)
    scale = _PHOTO_FOCAL * max(image.shape[:2]) / camera.intrinsics[0, 0] * rng.uniform(0.85, 1.15)
    scale = float(np.clip(scale, 0.35 * whole, whole))
    w, h = max(1, int(width * scale)), max(1, int(height * scale))
    x = rng.integers(image.shape[1] - w + 1)
    y = int(np.clip(image.shape[0] / 2 - camera.horizon() * scale, 0, image.shape[0] - h))
    crop = cv2.resize(
        image[y : y + h, x : x + w],
        (width, height),
        interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC,
    )
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return to_linear(np.ascontiguousarray(crop[..., ::-1]))


def _match_light(background: np.ndarray, lighting: Lighting) -> Lighting:
    """Give the lighting the colors of the upper and lower half of a photograph, and its brightness."""
    half = len(background) // 2
    above, below = background[:half].mean((0, 1)), background[half:].mean((0, 1))
    level = max(float(background.mean()), 0.02)
    tint = (above + below) / 2 / level
    sun = np.array(lighting.sun_color) / max(lighting.sun_color) * level * 2.2
    lighting.sky, lighting.ground = tuple(above + 0.2 * level), tuple(0.7 * below + 0.1 * level)
    lighting.sun_color = tuple(sun * (0.5 + 0.5 * tint))
    lighting.fill_color = tuple(0.25 * level * tint)
    return lighting


@contextmanager
def _one_thread():
    """Use one thread, so that sums do not depend on the number of threads of the process."""
    threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):  # the BLAS of numpy and scipy
            yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)
