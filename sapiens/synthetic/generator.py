"""Generator of images of people with all labels, from a seed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .backgrounds import list_images, load_background, match_light
from .body import load_body
from .keypoints import SKELETONS, brow_lines, iris_centres, load_landmarks, visibility
from .lens import defocus
from .photo import develop, develop_foreground
from .render import Rendering, render
from .sample import PersonLabel, SyntheticSample
from .scene import SHOTS, Scene, sample_scene
from .threads import one_thread
from .wardrobe.labels import split_parts

__all__ = ['HumanGenerator']


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
        self.backgrounds = [] if backgrounds is None else list_images(Path(backgrounds).expanduser())
        self.background_share, self.occlusion, self.shots = background_share, occlusion, shots
        self.rays, self.hair_rays, self.device, self.empty = rays, hair_rays, device, empty

    def __call__(self, seed: int) -> SyntheticSample:
        rng = np.random.default_rng(seed)
        with one_thread():
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
        with one_thread():
            scene = self.scene(np.random.default_rng(seed))
        place, middle = scene.camera, np.mean([person.posed.vertices.mean(0) for person in scene.people], 0)
        for number in range(frames):
            angle = 2 * np.pi * number / frames
            scene.camera = place.moved((sway * np.sin(angle), 0.5 * sway * np.sin(2 * angle), 0.0), middle)
            with one_thread():
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
            scene.background = load_background(path, scene.camera, rng)
            scene.lighting = match_light(scene.background, scene.lighting)
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
