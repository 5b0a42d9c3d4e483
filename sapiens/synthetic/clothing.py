"""Dress a person: garments cut from one suit around the body, accessories and hair.

A garment is a part of the body suit (the subdivided helper surface of the base mesh), cut along smooth lines. It is draped over
the inner layers, keeps its distance from the body, bridges hollows, hangs, and gets folds. Its edges are turned in. Skirts are
lofted around both legs. Places refer to the template body: a height is its z, for every person.

Accessories have their own geometry. All of them are Apparel in goliath28, and glasses have a class in goliath29. LIP-20 has
classes for hats, gloves, sunglasses and scarves. For the rest we follow LIP's annotators: a belt belongs to the garment below it,
a watch to the arm, clear glasses to the face, and a bag to the background.
"""

from dataclasses import dataclass, replace

import numpy as np

from .appearance import OUTER, Garment, Look
from .body import Body, Posed, Shape
from .materials import Material
from .wardrobe.accessories import add_buckle, add_gloves, add_scarf, add_watch, hide_hands
from .wardrobe.bags import add_backpack, add_shoulder_bag
from .wardrobe.beard import build_beard
from .wardrobe.cuts import deep_inside, edge_fields, least_inside
from .wardrobe.dresser import Dresser
from .wardrobe.glasses import add_glasses
from .wardrobe.hair import build_hair
from .wardrobe.hats import HAT_HEIGHT, add_hat
from .wardrobe.labels import LIP_OF, LOWER, lip, part
from .wardrobe.places import WAIST, Places
from .wardrobe.scalp import Head
from .wardrobe.shoes import add_soles, sole_thickness
from .wardrobe.skirts import add_skirt
from .wardrobe.suit import Suit, load_suit
from .wardrobe.topology import all_of, smoothstep, unit

__all__ = ['Outfit', 'Suit', 'dress', 'lip', 'load_suit', 'part', 'sole_thickness']

_BUCKLE = Places(np.array([[0, -0.13, WAIST - 0.047]]), np.array([-0.12]), np.zeros(1))


@dataclass
class Outfit:
    """Surfaces that a person wears, and ``hidden`` (F,) bool: triangles of :attr:`Body.faces` that cloth covers."""

    surfaces: list
    hidden: np.ndarray


def dress(body: Body, shape: Shape, posed: Posed, look: Look, rng: np.random.Generator) -> Outfit:
    """Build everything that a person wears, and the hair, in the world."""
    d = Dresser(body, shape, posed, look, rng)
    suit = d.suit
    garments = [replace(g, lap=_lap(body, posed)) for g in _layers(look)]
    edges = [edge_fields(g, suit.places) for g in garments]
    inner = [deep_inside(g, e) for g, e in zip(garments, edges, strict=True)]
    covered = np.maximum.reduce([deep_inside(g, edge_fields(g, suit.skin_places)) for g in garments])
    if 'gloves' in look.accessories:
        covered = np.maximum(covered, hide_hands(body, suit.skin_places))
    for i, g in enumerate(garments):
        outer = np.maximum.reduce(inner[i + 1 :]) if i + 1 < len(garments) else None
        if g.kind != 'skirt':
            d.add_garment(g, edges[i], outer)
        if g.kind == 'belt' and not any(least_inside(edge_fields(o, _BUCKLE))[0] > 0 for o in garments[i + 1 :]):
            add_buckle(d, _BUCKLE.p[0])
        if g.kind in ('skirt', 'dress', 'coat'):
            add_skirt(d, g)
        if g.kind == 'shoes':
            add_soles(d)
        d.below_belt = LIP_OF.get(g.kind, d.below_belt)
    hat = next((HAT_HEIGHT[name] for name in look.accessories if name in HAT_HEIGHT), None)
    d.surfaces += [*build_hair(d, hat), *filter(None, [build_beard(d)])]
    _add_accessories(d)
    return Outfit(d.surfaces, all_of(covered > 0, body.faces))


def _lap(body: Body, posed: Posed) -> float:
    """Return how far the thigh that is raised more makes a lap: 0 up to 25 degrees from the trunk, 1 from 50."""
    head = lambda name: posed.heads[body.bones[name]].astype(float)  # noqa: E731
    hips = [head(f'upperleg01.{side}') for side in 'LR']
    trunk = unit(np.mean(hips, 0) - head('spine03'))
    thighs = [unit(head(f'lowerleg01.{side}') - hip) for side, hip in zip('LR', hips, strict=True)]
    angle = np.degrees(np.arccos(np.clip(min(thigh @ trunk for thigh in thighs), -1, 1)))
    return float(smoothstep(25, 50, angle))


def _layers(look: Look) -> list:
    """Return the garments with socks, shoes, a belt and shorts under a skirt, from the innermost to the outermost."""
    layers = []
    if look.footwear != 'barefoot' and look.socks is not None:
        layers.append(
            Garment('socks', look.sock_material, look.sock_material, hem=look.socks, ease=0.0005, flare=0, folds=0.15)
        )
    if look.footwear == 'shoes':
        top = {'low': -0.752, 'sneaker': -0.742, 'boot': -0.64}[look.shoe]
        layers.append(
            Garment('shoes', look.shoe_material, look.shoe_material, hem=top, ease=0.004, flare=0, folds=0.1)
        )
    kinds = [g.kind for g in look.garments]
    if ('skirt' in kinds or 'dress' in kinds) and not set(kinds) & set(LOWER):
        dark = Material('cloth', (0.02, 0.02, 0.022))
        layers.append(Garment('leggings', dark, dark, hem=-0.16, ease=0.001, flare=0, folds=0.1))
    worn = list(look.garments)
    if 'skirt' in kinds:  # over the upper garments except coats
        worn.sort(key=lambda g: (g.kind == 'skirt') + 2 * (g.kind in OUTER))
    for g in worn:
        layers.append(g)
        if 'belt' in look.accessories and (g.kind in LOWER or g.kind in ('skirt', 'dress')):
            belt = look.accessories['belt']
            layers.append(Garment('belt', belt, belt, ease=0.004, flare=0, folds=0))
    return layers


def _add_accessories(d) -> None:
    """Add the accessories of :attr:`Look.accessories`, except belts, which are cut from the suit."""
    head = Head(d.body, d.shape, d.posed)
    for name, material in d.look.accessories.items():
        if name in HAT_HEIGHT:
            add_hat(d, head, name, material)
        elif name in ('glasses', 'sunglasses'):
            add_glasses(d, head, material, name == 'sunglasses')
        elif name != 'belt':
            {
                'scarf': add_scarf,
                'backpack': add_backpack,
                'shoulder_bag': add_shoulder_bag,
                'gloves': add_gloves,
                'watch': add_watch,
            }[name](d, material)
