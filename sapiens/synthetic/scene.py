"""Random scenes: placement of people, surroundings, and the camera."""

from dataclasses import dataclass

import numpy as np

from .body import Body
from .camera import Camera
from .person import Figure, Person, dress_figure, sample_figure
from .photo import Photo, sample_photo
from .render import Lighting
from .rooms import Place, sample_occluder, sample_place, seat_surfaces

__all__ = ['SHOTS', 'Scene', 'aim_at', 'sample_scene', 'sample_yaw']

# Weight of each framing, and the part of the main person that fills the image.
SHOTS = {'full': 0.46, 'three_quarter': 0.16, 'upper': 0.18, 'head': 0.12, 'wide': 0.08}

_CELL = 0.1  # meters: two people may not occupy the same cell of this size, which leaves room for clothes


@dataclass
class Scene:
    """All inputs of the renderer for one image."""

    people: list[Person]
    things: list
    planes: list
    camera: Camera
    lighting: Lighting
    photo: Photo
    background: np.ndarray | None = None
    shot: str = 'full'
    place: str = 'room'
    ground: str = 'wood'


def sample_scene(
    body: Body,
    rng: np.random.Generator,
    size: tuple[int, int],
    people: tuple[int, int] = (1, 4),
    occlusion: float = 0.2,
    shots: dict | None = None,
) -> Scene:
    """Draw a random scene.

    Args:
        size: (width, height) of the image in pixels.
        people: minimum and maximum number of people; fewer if there is no room after many tries.
        occlusion: fraction of the scenes with an object between the camera and the main person.
        shots: name of :data:`SHOTS` -> weight.
    """
    shots = shots or SHOTS
    names, weights = list(shots), np.array(list(shots.values()), float)
    shot = str(rng.choice(names, p=weights / weights.sum()))
    counts = np.arange(people[0], people[1] + 1)
    weights = 0.5 ** (counts - counts[0]) * (0.5 if shot == 'head' else 1.0) ** (counts > counts[0])
    count = int(rng.choice(counts, p=weights / weights.sum()))

    group = _place_people(body, rng, count, shot)
    things = [surface for person in group if person.seat is not None for surface in seat_surfaces(rng, person.seat)]
    camera = _aim(rng, body, group, shot, size)
    points = np.concatenate([person.posed.vertices[::50] for person in group])
    radius = float(np.linalg.norm(points[:, :2], axis=1).max()) + 0.15
    place: Place = sample_place(rng, radius, camera.position, {_feet(person) for person in group})
    occluded = rng.random() < occlusion and shot != 'head'
    if occluded:
        target = group[0].posed.vertices[body.quads['body'].ravel()].mean(0)
        things = things + sample_occluder(rng, camera.position, target, rng.uniform(0.35, 0.75))
    photo = sample_photo(rng)
    if occluded:
        photo.aperture = 0.0  # the blur of an object in front would reach over people
    return Scene(
        group,
        things + place.things,
        place.planes,
        camera,
        place.lighting,
        photo,
        shot=shot,
        place=place.kind,
        ground=place.ground,
    )


def _feet(person: Person) -> str:
    worn = person.attributes['worn']
    return next((name for name in ('shoes', 'socks') if name in worn), 'barefoot')


def _place_people(body: Body, rng: np.random.Generator, count: int, shot: str) -> list[Person]:
    """Place the first person in the middle and the others around, without overlap."""
    placed, taken = [], np.zeros(0, np.int64)
    while len(placed) < count:
        action = str(rng.choice(['stand', 'stand', 'sit', 'walk'])) if shot == 'head' else None
        figure = sample_figure(body, rng, action)
        points = _occupied(body, figure)
        for attempt in range(80):
            spread = 1 + attempt / 12
            shift = np.zeros(3)
            if placed:
                side = rng.choice([-1, 1])
                shift[:2] = side * rng.uniform(0.35, 1.3) * spread, rng.normal(0.25, 0.55) * spread
            yaw = sample_yaw(rng, shot)
            cells = _cells(points, yaw, shift)
            if not np.isin(cells, taken, assume_unique=True).any():
                taken = np.union1d(taken, cells)
                placed.append(dress_figure(body, figure).move(yaw, shift))
                break
        else:
            count -= 1  # no room: a scene with fewer people
    return placed


def sample_yaw(rng: np.random.Generator, shot: str) -> float:
    """Radians away from facing the camera."""
    kind = rng.random()
    if kind < 0.6 or (shot == 'head' and kind < 0.85):
        return float(rng.normal(0, 0.6))
    if kind < 0.85:
        return float(rng.uniform(-1.9, 1.9))
    return float(rng.uniform(-np.pi, np.pi))


def _occupied(body: Body, figure: Figure) -> np.ndarray:
    """Return (N, 3) points all over a person and the seat, before they are moved."""
    points = [figure.pose.posed.vertices[body.quads['body'].ravel()[::11]]]
    seat = figure.pose.seat
    if seat is not None:
        grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 8)] * 3), -1).reshape(-1, 3) * seat.size
        c, s = np.cos(seat.yaw), np.sin(seat.yaw)
        points.append(grid @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + seat.center)
    return np.concatenate(points)


def _cells(points: np.ndarray, yaw: float, shift: np.ndarray) -> np.ndarray:
    """Return the sorted indices of the cells that the rotated and shifted points occupy."""
    c, s = np.cos(yaw), np.sin(yaw)
    moved = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + shift
    cells = np.floor(moved / _CELL).astype(np.int64) + 512
    return np.unique(cells @ [1 << 20, 1 << 10, 1])


def _aim(rng: np.random.Generator, body: Body, group: list[Person], shot: str, size: tuple[int, int]) -> Camera:
    """Draw a camera on the side of -y with the framing of the shot."""
    main = group[0].posed
    skin = main.vertices[body.quads['body'].ravel()[::7]]
    bone = body.bones
    if shot == 'head':
        top = body.region_weights[:13380, 1] > 0.5
        points = main.vertices[:13380][top][::5]
        points = np.concatenate([points, main.heads[[bone['upperarm01.L'], bone['upperarm01.R']]]])
        fill = rng.uniform(0.6, 1.15)
    elif shot == 'upper':
        names = ('head', 'upperarm01.L', 'upperarm01.R', 'spine05', 'lowerarm01.L', 'lowerarm01.R')
        points = np.concatenate([main.heads[[bone[n] for n in names]], main.tails[[bone['head']]]])
        fill = rng.uniform(0.75, 1.1)
    elif shot == 'three_quarter':
        names = ('head', 'upperarm01.L', 'upperarm01.R', 'lowerleg01.L', 'lowerleg01.R', 'wrist.L', 'wrist.R')
        points = np.concatenate([main.heads[[bone[n] for n in names]], main.tails[[bone['head']]]])
        fill = rng.uniform(0.8, 1.05)
    elif shot == 'wide':
        points, fill = np.concatenate([p.posed.vertices[:13380:20] for p in group]), rng.uniform(0.3, 0.6)
    else:
        points = skin if rng.random() < 0.4 else np.concatenate([p.posed.vertices[:13380:20] for p in group])
        fill = rng.uniform(0.72, 0.97)
    return aim_at(rng, points, fill, size)


def aim_at(rng: np.random.Generator, points: np.ndarray, fill: float, size: tuple[int, int]) -> Camera:
    """Draw a camera on the side of -y from which points (N, 3) fill a fraction of the image in one of its directions."""
    width, height = size
    low, high = points.min(0), points.max(0)
    target = (low + high) / 2

    focal = height / 2 / np.tan(np.radians(np.exp(rng.uniform(np.log(18), np.log(66)))) / 2)
    focal = max(focal, 0.5 * width)  # a horizontal field of view of at most 90 degrees
    flat = float(high[2]) < 0.75  # a person lies on the ground
    pitch = rng.normal(0.45, 0.25) if flat else rng.normal(0.06, 0.17)
    pitch = float(np.clip(pitch, -0.35, 1.1))
    azimuth = rng.normal(0, 0.15)
    roll = float(rng.normal(0, 0.025) if rng.random() < 0.85 else rng.normal(0, 0.2))
    direction = np.array([np.sin(azimuth) * np.cos(pitch), -np.cos(azimuth) * np.cos(pitch), np.sin(pitch)])

    def fits(distance: float) -> bool:
        camera = Camera.look_at(target + direction * distance, target, focal, width, height)
        pixels = camera.project(points.astype(np.float64))
        if pixels[:, 2].min() < 0.15:
            return False
        extent = pixels[:, :2].max(0) - pixels[:, :2].min(0)
        return bool((extent <= np.array([width, height]) * fill).all())

    near, far = 0.3, 60.0
    for _ in range(24):
        middle = np.sqrt(near * far)
        near, far = (near, middle) if fits(middle) else (middle, far)
    position = target + direction * far
    position[2] = max(position[2], 0.2)
    # The target is not always in the middle. Sometimes the border cuts a person.
    shift = rng.normal(0, 0.02 if rng.random() < 0.65 else 0.14, 2) * [width, height]
    camera = Camera.look_at(position, target, focal, width, height, roll)
    camera.intrinsics[:2, 2] += np.clip(shift, -0.3 * np.array([width, height]), 0.3 * np.array([width, height]))
    return camera
