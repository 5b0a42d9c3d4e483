"""Surroundings of people: rooms, streets, meadows, furniture and occluders."""

from dataclasses import dataclass, field

import numpy as np

from . import surroundings
from .materials import Material, srgb
from .mesh import Surface, grid_faces
from .render import Lighting, Plane
from .surroundings import pick

__all__ = ['Place', 'box', 'cylinder', 'sample_occluder', 'sample_place', 'seat_surfaces', 'sphere']

_BOX_QUADS = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [2, 3, 7, 6], [1, 2, 6, 5], [3, 0, 4, 7]])
_UNIT = (
    np.array([[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) / 2
)


@dataclass
class Place:
    """Surroundings: planes, objects and light; ``kind`` 'room' or 'outdoors', and ``ground``, a name of its material."""

    planes: list
    things: list = field(default_factory=list)
    lighting: Lighting = field(default_factory=Lighting)
    kind: str = 'room'
    ground: str = 'wood'


def box(name: str, center, size, material: Material, yaw: float = 0.0) -> Surface:
    """Make a box; ``center`` and ``size`` (x, y, z) in meters, rotated about z by ``yaw`` radians."""
    size = np.asarray(size, np.float32)
    corners = (_UNIT * size).astype(np.float32)
    points = corners[_BOX_QUADS].reshape(-1, 3)  # each side has its own corners: sharp edges
    texture = np.empty((24, 3), np.float32)
    for side, (u, v) in enumerate([(0, 1), (0, 1), (0, 2), (0, 2), (1, 2), (1, 2)]):
        rows = slice(4 * side, 4 * side + 4)
        texture[rows] = points[rows][:, [u, v, 0]]
        texture[rows, 2] = side
    faces = np.concatenate([[[4 * i, 4 * i + 1, 4 * i + 2], [4 * i, 4 * i + 2, 4 * i + 3]] for i in range(6)])
    return Surface(name, _rotate_and_shift(points, yaw, center), faces.astype(np.int32), material, texture)


def cylinder(name: str, base, radius, height: float, material: Material, sides: int = 24, lean=(0, 0)) -> Surface:
    """Make an upright cylinder or cone on ``base``; ``radius`` is one number, or bottom and top; in meters."""
    low, high = (radius, radius) if np.isscalar(radius) else radius
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    rows = [ring * [low, low, 0], ring * [high, high, 0] + [*lean, height], ring * 0 + [*lean, height]]
    points = np.concatenate(rows).astype(np.float32) + np.asarray(base, np.float32)
    texture = np.concatenate(
        [np.stack([angle * max(low, high), 0 * angle + z, 0 * angle], 1) for z in (0, height, height)]
    )
    return Surface(name, points, grid_faces(3, sides, closed=True), material, texture.astype(np.float32))


def sphere(name: str, center, radius: float, material: Material, rows: int = 16) -> Surface:
    """Make a sphere; in meters."""
    polar, angle = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, 2 * rows, endpoint=False), indexing='ij'
    )
    unit = np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar)], -1).reshape(-1, 3)
    points = (unit * radius + np.asarray(center)).astype(np.float32)
    texture = np.stack([angle.ravel() * radius, polar.ravel() * radius, 0 * polar.ravel()], 1).astype(np.float32)
    faces = np.ascontiguousarray(grid_faces(rows, 2 * rows, closed=True)[:, ::-1])  # rows run downwards
    return Surface(name, points, faces, material, texture, normals=unit.astype(np.float32))


def seat_surfaces(rng: np.random.Generator, seat) -> list[Surface]:
    """Make a stool, crate, chair, bench or armchair for a :class:`sapiens.synthetic.pose.Seat`."""
    x, y, z = (float(v) for v in seat.center)
    width, depth, height = (float(v) for v in seat.size)
    top = z + height / 2
    wood = surroundings.wood(rng)
    fabric = Material('cloth', srgb(pick(rng, surroundings.FABRICS)), bump=3e-4, seed=float(rng.random()))
    style = rng.choice(['crate', 'stool', 'chair', 'bench', 'armchair'] if not seat.back else ['chair', 'armchair'])
    at = lambda dx, dy, dz: np.array([x, y, 0]) + _rotate([dx, dy, 0], seat.yaw) + [0, 0, dz]  # noqa: E731
    if style == 'crate' or top < 0.3:
        return [box('seat', at(0, 0, top / 2), (width, depth, top), wood, seat.yaw)]
    out = []
    thick = 0.05 if style != 'armchair' else 0.18
    cover = fabric if style == 'armchair' or rng.random() < 0.4 else wood
    wide = width * (2.2 if style == 'bench' else 1.0)
    out.append(box('seat', at(0, 0, top - thick / 2), (wide, depth, thick), cover, seat.yaw))
    if style == 'armchair':
        out.append(
            box('seat', at(0, 0, (top - thick) / 2), (wide * 0.96, depth * 0.96, top - thick), fabric, seat.yaw)
        )
    else:
        leg = Material('metal', srgb(120, 120, 125), gloss=0.6) if rng.random() < 0.4 else wood
        for sx in (-1, 1):
            for sy in (-1, 1):
                out.append(
                    box('leg', at(sx * (wide / 2 - 0.04), sy * (depth / 2 - 0.04), (top - thick) / 2),
                        (0.035, 0.035, top - thick), leg, seat.yaw)
                )  # fmt: skip
    if seat.back or style in ('chair', 'armchair'):
        # The person faces -y in the frame of the seat: the backrest is at +y.
        out.append(box('back rest', at(0, depth / 2 + 0.03, top + 0.24), (wide, 0.05, 0.5), cover, seat.yaw))
    return out


def sample_place(rng: np.random.Generator, radius: float, camera_position, feet=()) -> Place:
    """Draw a room or a place outdoors around people within ``radius`` meters of the origin; the camera looks along +y.

    Args:
        feet: what people have on their feet: 'shoes', 'socks', 'barefoot'. Socks are worn in rooms only, and bare feet are in
            rooms, on grass or on sand.
    """
    far = float(np.linalg.norm(camera_position))
    indoors = far < 9 and rng.random() < 0.6
    if indoors or 'socks' in feet:
        return _room(rng, radius, camera_position)
    return _outdoors(rng, radius, 'barefoot' in feet)


def _room(rng: np.random.Generator, radius: float, camera_position) -> Place:
    x, y, z = (float(v) for v in camera_position)
    back = radius + rng.uniform(0.15, 3.0)
    left = max(radius, -x) + rng.uniform(0.3, 3.5)
    right = max(radius, x) + rng.uniform(0.3, 3.5)
    front, height = -y + 0.5, max(rng.uniform(2.4, 3.6), z + 0.3)
    name = pick(rng, list(surroundings.FLOORS))
    floor = surroundings.FLOORS[name](rng)
    wall, ceiling = surroundings.wall(rng), surroundings.CEILING
    planes = [
        Plane((-left, -front, 0), (1, 0, 0), (0, 1, 0), (left + right, front + back), floor),
        Plane((-left, back, 0), (1, 0, 0), (0, 0, 1), (left + right, height), wall),
        Plane((-left, -front, 0), (0, 1, 0), (0, 0, 1), (front + back, height), wall),
        Plane((right, -front, 0), (0, 1, 0), (0, 0, 1), (front + back, height), wall),
        Plane((-left, -front, 0), (1, 0, 0), (0, 0, 1), (left + right, height), wall),
        Plane((-left, -front, height), (1, 0, 0), (0, 1, 0), (left + right, front + back), ceiling),
    ]  # fmt: skip
    things = []
    skirting = Material('matte', srgb(240, 238, 232) if rng.random() < 0.6 else srgb(90, 70, 55))
    things.append(box('skirting', ((right - left) / 2, back - 0.01, 0.05), (left + right, 0.02, 0.1), skirting))
    hung: list = []  # lower and upper corners of frames
    for _ in range(rng.integers(0, 4)):  # wall pictures and windows
        w, h = rng.uniform(0.3, 1.4), rng.uniform(0.3, 1.1)
        x = rng.uniform(-left + w / 2, right - w / 2)
        z = rng.uniform(1.2, 1.9)
        frame = Material('glossy', srgb(pick(rng, [(30, 30, 30), (230, 228, 220), (120, 80, 45)])), gloss=0.3)
        picture = surroundings.picture(rng)
        middle, half = np.array([x, z]), np.array([w + 0.07, h + 0.07]) / 2
        low, high = middle - half, middle + half
        if any((low < above).all() and (below < high).all() for below, above in hung):
            continue  # two in one plane would flicker through each other
        hung.append((low, high))
        things.append(box('frame', (x, back - 0.015, z), (w + 0.07, 0.03, h + 0.07), frame))
        things.append(box('picture', (x, back - 0.034, z), (w, 0.01, h), picture))
    things += _furniture(rng, radius, back, left, right)
    return Place(planes, things, _indoor_light(rng), 'room', name)


def _outdoors(rng: np.random.Generator, radius: float, barefoot: bool) -> Place:
    name = pick(rng, ['grass', 'sand'] if barefoot else list(surroundings.GROUNDS))
    ground = surroundings.GROUNDS[name](rng)
    far = 40.0
    planes = [Plane((-far, -far, 0), (1, 0, 0), (0, 1, 0), (2 * far, 2 * far), ground)]
    things = []
    if rng.random() < 0.6:  # a facade
        y = radius + rng.uniform(0.6, 12)
        base = pick(rng, [surroundings.bricks, surroundings.plaster])(rng)
        height = rng.uniform(3, 12)
        planes.append(Plane((-far, y, 0), (1, 0, 0), (0, 0, 1), (2 * far, height), base))
        pane = Material('glossy', srgb(60, 75, 90), gloss=0.7)
        edge = Material('matte', srgb(pick(rng, [(225, 222, 215), (70, 60, 55), (150, 150, 150)])))
        pitch, width = rng.uniform(1.6, 3.4), rng.uniform(0.7, 1.3)
        for i in range(-6, 7):
            for level in range(int(height // 3.2) + 1):
                z = 1.6 + 3.1 * level
                if z + 0.8 < height:
                    things.append(box('window frame', (i * pitch, y - 0.02, z), (width + 0.14, 0.06, 1.5), edge))
                    things.append(box('window', (i * pitch, y - 0.06, z), (width, 0.02, 1.36), pane))
    for _ in range(rng.integers(0, 5)):  # trees and bushes
        x, y = rng.uniform(-9, 9), radius + rng.uniform(1.5, 14)
        leaf = Material('matte', srgb(pick(rng, [(52, 84, 36), (74, 104, 48), (96, 110, 40)])), 'blotches',
                        srgb(34, 58, 24), srgb(120, 138, 70), scale=0.16, seed=float(rng.random()))  # fmt: skip
        if rng.random() < 0.5:
            trunk = Material(
                'matte', srgb(84, 66, 50), 'marble', srgb(54, 42, 32), scale=0.2, seed=float(rng.random())
            )
            height = rng.uniform(1.8, 3.2)
            things.append(cylinder('trunk', (x, y, 0), (0.16, 0.1), height, trunk))
            for _ in range(5):
                things.append(_crown(rng, (x, y, height + 0.5), rng.uniform(0.6, 1.2), leaf))
        else:
            for _ in range(3):
                things.append(_crown(rng, (x, y, 0.4), rng.uniform(0.3, 0.6), leaf))
    things += _furniture(rng, radius, radius + 4, radius + 4, radius + 4, outdoors=True)
    return Place(planes, things, _daylight(rng), 'outdoors', name)


def _crown(rng, center, radius: float, leaf: Material) -> Surface:
    """Make a lumpy ball of leaves."""
    shift = rng.normal(0, 0.45, 3) * radius * [1, 1, 0.6]
    ball = sphere('leaves', np.asarray(center) + shift, radius, leaf, rows=14)
    phase = rng.uniform(0, 6, 9)
    n = ball.normals
    lumps = sum(np.sin(n @ rng.normal(0, 5, 3) + phase[i]) for i in range(5)) / 5
    ball.vertices = ball.vertices + n * (radius * 0.22 * lumps[:, None]).astype(np.float32)
    # The first and last rows and the seam repeat single points, which must stay together.
    columns = 28
    for row in (slice(0, columns), slice(-columns, None)):
        ball.vertices[row] = ball.vertices[row].mean(0)
    ball.normals = None
    return ball


def _furniture(rng, radius: float, back: float, left: float, right: float, outdoors: bool = False) -> list[Surface]:
    """Place boxes, cabinets, tables, balls and lamps outside of the disc where people stand."""
    things = []
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(-left + 0.4, right - 0.4), rng.uniform(-0.5 * radius, back - 0.3)
        if np.hypot(x, y) < radius + 0.45:
            continue
        yaw = rng.choice([0.0, np.pi / 2]) if not outdoors else rng.uniform(0, 3)
        kind = rng.choice(['cabinet', 'table', 'crate', 'ball', 'plant', 'lamp'])
        wood, paint = surroundings.wood(rng), surroundings.paint(rng)
        if kind == 'cabinet' and not outdoors:
            w, d, h = rng.uniform(0.4, 1.2), rng.uniform(0.3, 0.5), rng.uniform(0.5, 1.9)
            things.append(box(kind, (x, y, h / 2), (w, d, h), pick(rng, [wood, paint]), yaw))
        elif kind == 'table':
            w, d, h = rng.uniform(0.6, 1.4), rng.uniform(0.5, 0.8), rng.uniform(0.45, 0.78)
            things += _table(wood, (x, y), (w, d, h), yaw)
        elif kind == 'ball':
            r = rng.uniform(0.1, 0.35)
            things.append(sphere(kind, (x, y, r), r, paint))
        elif kind == 'plant':
            pot = Material('matte', srgb(pick(rng, [(160, 96, 70), (70, 70, 75), (225, 220, 210)])))
            leaf = Material('matte', srgb(60, 96, 46), 'blotches', srgb(38, 66, 30), srgb(100, 130, 70), scale=0.08)
            things.append(cylinder('pot', (x, y, 0), (0.14, 0.19), 0.35, pot))
            things += [_crown(rng, (x, y, 0.7), 0.24, leaf) for _ in range(3)]
        elif kind == 'lamp':
            metal = Material('metal', srgb(90, 90, 95), gloss=0.5)
            things.append(cylinder('lamp', (x, y, 0), 0.02, 1.5, metal, 12))
            things.append(cylinder('shade', (x, y, 1.45), (0.2, 0.13), 0.3, Material('cloth', srgb(235, 225, 200))))
        else:
            s = rng.uniform(0.25, 0.6)
            things.append(box('crate', (x, y, s / 2), (s, s, s), pick(rng, [wood, paint]), rng.uniform(0, 3)))
    return things


def _table(wood: Material, at, size, yaw: float) -> list[Surface]:
    w, d, h = size
    out = [box('table', (*at, h - 0.02), (w, d, 0.04), wood, yaw)]
    for sx in (-1, 1):
        for sy in (-1, 1):
            offset = _rotate([sx * (w / 2 - 0.05), sy * (d / 2 - 0.05), 0], yaw)
            place = (at[0] + offset[0], at[1] + offset[1], (h - 0.04) / 2)
            out.append(box('table leg', place, (0.05, 0.05, h - 0.04), wood, yaw))
    return out


def sample_occluder(rng: np.random.Generator, camera_position, target, fraction: float) -> list[Surface]:
    """Draw an object that hides a part of the target from the camera: a post, a counter, a box or leaves.

    Args:
        camera_position, target: world points.
        fraction: position on the way from the camera to the target, 0..1.
    """
    o, t = np.asarray(camera_position, float), np.asarray(target, float)
    at = o + (t - o) * fraction
    toward = t - o
    yaw = float(np.arctan2(toward[1], toward[0]) - np.pi / 2)
    side = _rotate([1, 0, 0], yaw)
    kind = rng.choice(['post', 'counter', 'box', 'leaves', 'ball'])
    reach = np.linalg.norm(t - o) * fraction
    if kind == 'post':
        at = at + side * rng.uniform(-0.14, 0.14) * reach
        return [
            cylinder(
                'post',
                (at[0], at[1], 0),
                rng.uniform(0.015, 0.04) * reach,
                3.2,
                pick(rng, [surroundings.wood, surroundings.paint])(rng),
            )
        ]
    if kind == 'counter':
        height = rng.uniform(0.35, 0.62) * at[2]
        return [
            box(
                'counter',
                (at[0], at[1], height / 2),
                (rng.uniform(0.3, 1.0) * reach, 0.3, height),
                surroundings.wood(rng),
                yaw,
            )
        ]
    if kind == 'box':
        size = rng.uniform(0.08, 0.2) * reach
        at = at + side * rng.uniform(-0.2, 0.2) * reach
        z = max(size / 2, at[2] - rng.uniform(0.1, 0.4) * reach)
        return [
            box(
                'shelf',
                (at[0], at[1], z / 2 - size / 4),
                (size * 0.9, size * 0.9, max(z - size / 2, 0.01)),
                surroundings.wood(rng),
                yaw,
            ),
            box('box', (at[0], at[1], z), (size,) * 3, surroundings.paint(rng), yaw + rng.uniform(-0.4, 0.4)),
        ]
    if kind == 'ball':
        at = at + side * rng.uniform(-0.2, 0.2) * reach
        z = max(0.1, at[2] - rng.uniform(0, 0.35) * reach)
        return [sphere('ball', (at[0], at[1], z), rng.uniform(0.03, 0.08) * reach, surroundings.paint(rng))]
    leaf = Material('matte', srgb(60, 96, 46), 'blotches', srgb(38, 66, 30), srgb(100, 130, 70), scale=0.05)
    at = at + side * rng.choice([-1, 1]) * rng.uniform(0.12, 0.3) * reach
    low = np.array([at[0], at[1], 0.5 * at[2]])
    return [_crown(rng, low + np.array([0, 0, 0.2 * i * reach]), 0.1 * reach, leaf) for i in range(-1, 2)]


# --- materials and light ---------------------------------------------------------------------------------------------


def _direction(azimuth: float, elevation: float) -> tuple:
    c = np.cos(elevation)
    return (float(np.sin(azimuth) * c), float(-np.cos(azimuth) * c), float(np.sin(elevation)))


def _daylight(rng) -> Lighting:
    """Draw light from sun and sky: overcast, low sun or noon. Azimuth 0 is behind the camera."""
    sunny = rng.random() < 0.65
    elevation = rng.uniform(0.35, 1.25)
    warm = np.clip(1.1 - elevation, 0, 0.7)
    sun = np.array([1.0, 0.93 - 0.25 * warm, 0.82 - 0.5 * warm]) * (
        rng.uniform(1.6, 3.0) if sunny else rng.uniform(0.15, 0.5)
    )
    blue = np.array([0.55, 0.68, 0.9]) if sunny else np.array([0.8, 0.83, 0.86])
    return Lighting(
        sun=_direction(rng.normal(0, 1.1), elevation), sun_color=tuple(sun), spread=0.03 if sunny else 0.35,
        fill=_direction(rng.normal(0, 1.0), 0.4), fill_color=tuple(0.12 * blue),
        sky=tuple(blue * rng.uniform(0.7, 1.0)), ground=tuple(np.array([0.36, 0.34, 0.28]) * rng.uniform(0.6, 1.1)),
        horizon=tuple(np.array([0.86, 0.9, 0.95]) * 1.1) if sunny else (0.85, 0.86, 0.88),
        zenith=(0.22, 0.42, 0.8) if sunny else (0.7, 0.72, 0.75),
    )  # fmt: skip


def _indoor_light(rng) -> Lighting:
    """Draw light from a window, lamps or a ceiling light."""
    warm = rng.uniform(0, 1)
    tone = np.array([1.0, 0.96 - 0.14 * warm, 0.95 - 0.38 * warm])
    overhead = rng.random() < 0.4
    direction = (
        _direction(rng.normal(0, 0.6), rng.uniform(0.9, 1.4))
        if overhead
        else _direction(rng.normal(0, 1.0), rng.uniform(0.25, 0.8))
    )
    level = rng.uniform(0.6, 1.8)
    bounce = np.array([0.5, 0.48, 0.45])
    return Lighting(
        sun=direction, sun_color=tuple(tone * level), spread=rng.uniform(0.06, 0.3),
        fill=_direction(rng.normal(0, 1.2), 0.3), fill_color=tuple(rng.uniform(0.05, 0.4) * np.array([0.85, 0.93, 1.0])),
        sky=tuple(bounce * rng.uniform(0.8, 1.3)), ground=tuple(bounce * rng.uniform(0.4, 0.8)),
    )  # fmt: skip


def _rotate(vector, yaw: float) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    x, y, z = vector
    return np.array([c * x - s * y, s * x + c * y, z])


def _rotate_and_shift(points: np.ndarray, yaw: float, center) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
    return (points @ rotation.T + np.asarray(center, np.float32)).astype(np.float32)
