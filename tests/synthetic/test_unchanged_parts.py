"""Appearances, dressed people, surroundings and materials of a seed are those when unchanged_parts.json was written.

The images of test_unchanged are small and show what is in front. Here are the shapes themselves, rare ones too, and every
material from close by. After a wanted change: ``python -m tests.synthetic.test_unchanged_parts`` writes the file again.
"""

import dataclasses
import functools
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('anny')
pytest.importorskip('warp')

from sapiens.synthetic.appearance import ACCESSORIES, GARMENTS, HAIR_STYLES, sample_look
from sapiens.synthetic.body import load_body
from sapiens.synthetic.camera import Camera
from sapiens.synthetic.keypoints import brow_lines, iris_centres
from sapiens.synthetic.materials import KINDS, PATTERNS, Material
from sapiens.synthetic.person import dress_figure, sample_figure
from sapiens.synthetic.photo import Photo, develop, sample_photo
from sapiens.synthetic.pose import ACTIONS, Seat
from sapiens.synthetic.render import Lighting, Plane, render
from sapiens.synthetic.rooms import sample_occluder, sample_place, seat_surfaces

FILE = Path(__file__).with_name('unchanged_parts.json')
PEOPLE, PLACES = 44, 36
# Rounding of matrix products, which differs between processors, decides how limbs and clothes of these people are pushed apart.
UNSTABLE_PEOPLE = (11, 36)


def numbers(value) -> list[float]:
    """All numbers of nested values; texts count by a checksum."""
    if dataclasses.is_dataclass(value):
        value = dataclasses.astuple(value)
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in (*numbers(key), *numbers(value[key]))]
    if isinstance(value, list | tuple | np.ndarray):
        return [x for one in value for x in numbers(one)]
    if isinstance(value, str):
        return [zlib.crc32(value.encode()) / 2**32]
    return [] if value is None else [float(value)]


def digest(values) -> list[float]:
    """Three sums of numbers, each with other weights, that see every one of them: small values as well as large ones."""
    values = np.array(values, float)
    values = np.sign(values) * np.log1p(1e4 * np.abs(values))
    places = np.arange(1, len(values) + 1)
    return [round(float((values * weight).sum()), 4) for weight in (places**0, np.sin(places), np.cos(3 * places))]


def shape(surfaces) -> dict:
    """By name: number of triangles, area, center and extent, texture, labels, and material."""
    found = {}
    for name in sorted({surface.name for surface in surfaces}):
        rows = []
        for one in (one for one in surfaces if one.name == name):
            corners = one.vertices[one.faces].astype(np.float64)
            area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
            centers = corners.mean(1)
            weights = area / max(area.sum(), 1e-12)
            middle = weights @ centers
            texture = np.zeros(3) if one.texture is None else weights @ one.texture[one.faces].mean(1)
            labels = [(np.broadcast_to(label, area.shape) * weights).sum() for label in (one.part, one.lip)]
            extent = np.sqrt(weights @ (centers - middle) ** 2)
            rows.append(
                [len(area), area.sum(), *middle, *extent, *texture, *labels, sum(digest(numbers(one.material)))]
            )
        rows = np.array(rows)
        found[name] = [float(f'{v:.4g}') for v in (len(rows), rows[:, 0].sum(), *rows[:, 1:].mean(0))]
    return found


def look(seed: int) -> list:
    return digest(numbers(sample_look(np.random.default_rng(seed))))


def person(seed: int) -> dict:
    rng, actions = np.random.default_rng(1000 + seed), list(ACTIONS)
    figure = sample_figure(load_body(), rng, actions[seed % len(actions)])
    made = dress_figure(load_body(), figure)
    seat = [] if made.seat is None else seat_surfaces(rng, made.seat)
    attributes = [made.attributes[name] for name in ('age', 'gender', 'weight', 'muscle')]
    return dict(shape([*made.surfaces, *seat]), about=[round(float(made.size), 4), *attributes])


def seat(seed: int) -> dict:
    """Seats of all styles and heights."""
    rng = np.random.default_rng(seed)
    size = np.array([0.45, 0.4, (0.1, 0.25, 0.05)[seed % 3]])
    made = Seat(np.array([0.2, -0.1, (0.2, 0.35, 0.5, 0.1)[seed % 4]]), size, 0.3 * seed, seed % 5 == 0)
    return shape(seat_surfaces(rng, made))


def place(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    camera = np.array([0.3, -3 - seed % 4, 1.5])
    made = sample_place(rng, 0.6 + 0.1 * (seed % 5), camera)
    occluder = sample_occluder(rng, camera, np.array([0.1, 0.2, 1.0]), 0.4 + 0.05 * (seed % 4))
    rest = [digest(numbers(value)) for value in (made.planes, made.lighting, made.kind, sample_photo(rng))]
    return dict(shape([*made.things, *occluder]), about=[x for three in rest for x in three])


LIGHT = Lighting(
    sun=(0.3, -0.5, 0.7), sun_color=(1.9, 1.6, 1.2), spread=0.05, fill=(-0.6, -0.4, 0.3), fill_color=(0.1, 0.2, 0.3),
    sky=(0.4, 0.5, 0.7), ground=(0.3, 0.2, 0.1), horizon=(0.7, 0.8, 0.9), zenith=(0.2, 0.4, 0.8),
)  # fmt: skip


def chart(kind: str, pattern: str) -> list:
    """Means of 12 x 12 pixels of a slanted board of a material, half of it in the sky's light, from close by and from afar."""
    material = Material(kind, (0.5, 0.3, 0.2), pattern, (0.1, 0.4, 0.6), (0.9, 0.8, 0.1), 0.11, 0.4, 4e-4, 0.37, 0.5)
    found = []
    for distance in (0.5, 6.0):
        board = Plane(
            np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0.6, 0.8]), (0.35 * distance, 0.35 * distance), material
        )
        camera = Camera.look_at(np.array([0.1, -0.9, 0.4]) * distance, np.zeros(3), 60.0, 48, 48)
        made = render([], [], [board], camera, LIGHT, seed=3)
        for values in (made.albedo, made.color):
            found += values.astype(np.float64).reshape(4, 12, 4, 12, 3).mean((1, 3)).ravel().tolist()
    return [round(v, 3) for v in found]


def face(seed: int) -> list:
    """Means of 8 x 8 pixels of a head from close by."""
    rng, body = np.random.default_rng(seed), load_body()
    made = dress_figure(body, sample_figure(body, rng, 'stand'))
    target = made.posed.heads[body.bones['head']] + [0, -0.05, 0.06]
    camera = Camera.look_at(target + np.array([0.08, -0.6, 0.0]), target, 150.0, 64, 80)
    iris = brow_lines(), *iris_centres()
    rendered = render([made.surfaces], [], [], camera, LIGHT, face=iris, seed=seed)
    blocks = [
        values.astype(np.float64).reshape(10, 8, 8, 8, -1).mean((1, 3)).ravel()
        for values in (rendered.albedo, rendered.color)
    ]
    return [round(float(v), 3) for v in np.concatenate(blocks)]


def photo(seed: int) -> list:
    """Means of 16 x 16 pixels of a ramp of light, developed with one strong setting."""
    y, x = np.mgrid[:64, :64] / 63
    light = np.stack([x, y, x * y], -1).astype(np.float32) ** 3 * 4
    settings = [
        {}, dict(exposure=1.7, balance=(1.2, 1.0, 0.8)), dict(contrast=1.2, saturation=0.7), dict(vignette=0.4),
        dict(blur=2.0), dict(motion=(6.0, 0.7)), dict(noise=4.0), dict(quality=40),
    ]  # fmt: skip
    made = develop(light, np.float32(x > 0.5), Photo(**settings[seed]), np.random.default_rng(seed)).astype(np.float64)
    blocks = made.reshape(4, 16, 4, 16, 3)
    return [round(float(v), 2) for v in np.concatenate([blocks.mean((1, 3)).ravel(), blocks.std((1, 3)).ravel()])]


# Patterns of scans have no colors of their own.
PAINTED = [pattern for pattern in PATTERNS[1:] if pattern not in ('image', 'vertices')]
MATERIALS = [(kind, 'plain') for kind in KINDS] + [('cloth', pattern) for pattern in PAINTED]


@functools.cache
def before() -> dict:
    return json.loads(FILE.read_text())


def close(now: dict, then: dict) -> None:
    assert list(now) == list(then)
    for name, values in then.items():
        np.testing.assert_allclose(now[name], values, rtol=2e-3, atol=2e-3, err_msg=name)


def test_appearances():
    np.testing.assert_allclose([look(seed) for seed in range(400)], before()['look'], atol=1e-2, rtol=0)


def test_every_kind_of_appearance_is_among_them():
    looks = [sample_look(np.random.default_rng(seed)) for seed in range(400)]
    assert {garment.kind for one in looks for garment in one.garments} >= set(GARMENTS)
    assert {one.style for one in looks} == set(HAIR_STYLES)
    assert {name for one in looks for name in one.accessories} == set(ACCESSORIES)


@pytest.mark.parametrize('seed', [seed for seed in range(PEOPLE) if seed not in UNSTABLE_PEOPLE])
def test_people(seed):
    close(person(seed), before()['person'][seed])


def test_seats():
    for seed, then in enumerate(before()['seat']):
        close(seat(seed), then)
    names = [len(seat(seed)) for seed in range(40)]
    assert set(names) == {1, 2, 3}, 'crates, stools, and those with legs and backs'


@pytest.mark.parametrize('seed', range(PLACES))
def test_places(seed):
    close(place(seed), before()['place'][seed])


@pytest.mark.parametrize(('kind', 'pattern'), MATERIALS)
def test_materials(kind, pattern):
    then = before()['chart'][MATERIALS.index((kind, pattern))]
    np.testing.assert_allclose(chart(kind, pattern), then, atol=6e-3, rtol=0)


@pytest.mark.parametrize('seed', range(6))
def test_faces(seed):
    np.testing.assert_allclose(face(seed), before()['face'][seed], atol=6e-3, rtol=0)


@pytest.mark.parametrize('seed', range(8))
def test_photographs(seed):
    np.testing.assert_allclose(photo(seed), before()['photo'][seed], atol=0.1, rtol=0)


if __name__ == '__main__':
    made = dict(
        look=[look(seed) for seed in range(400)], person=[person(seed) for seed in range(PEOPLE)],
        place=[place(seed) for seed in range(PLACES)], chart=[chart(*one) for one in MATERIALS],
        face=[face(seed) for seed in range(6)], seat=[seat(seed) for seed in range(40)], photo=[photo(seed) for seed in range(8)],
    )  # fmt: skip
    parts = ',\n'.join(
        f'"{name}": [\n' + ',\n'.join(json.dumps(one) for one in rows) + '\n]' for name, rows in made.items()
    )
    FILE.write_text('{\n' + parts + '\n}\n')
