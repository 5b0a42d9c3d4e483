"""Random appearance of a person before any geometry: build, colors, hair, clothes and accessories."""

from dataclasses import dataclass, field

import numpy as np

from .materials import Material, srgb

__all__ = ['ACCESSORIES', 'GARMENTS', 'HAIR_STYLES', 'Garment', 'Look', 'sample_garment', 'sample_look']

UPPER = ('tshirt', 'shirt', 'polo', 'sweater', 'hoodie', 'tank')
LOWER = ('trousers', 'jeans', 'shorts', 'leggings', 'skirt')
WHOLE = ('dress', 'jumpsuit')
OUTER = ('jacket', 'coat', 'cardigan')
GARMENTS = UPPER + LOWER + WHOLE + OUTER
HAIR_STYLES = (
    'bald', 'buzz', 'short', 'swept', 'side_part', 'bob', 'fringe', 'long', 'ponytail', 'bun', 'curly', 'afro', 'receding',
)  # fmt: skip
ACCESSORIES = (
    'cap', 'beanie', 'brimmed', 'glasses', 'sunglasses', 'scarf', 'belt', 'backpack', 'shoulder_bag', 'gloves', 'watch',
)  # fmt: skip


@dataclass
class Garment:
    """Cut and material of one garment. Heights are meters on the template body, see :mod:`.clothing`.

    Attributes:
        kind: one of :data:`GARMENTS`.
        material, trim: material of the cloth, and of collar, cuffs, waistband and buttons.
        sleeve: length from 0 (shoulder) to 1 (wrist); below 0 the armhole is cut wide.
        hem: height on the template of the lower edge, on the trunk or the legs.
        neck: 'round', 'v', 'boat', 'square', 'turtle', 'collar', 'hood' or 'stand'.
        depth: depth of the neckline at the front, meters below the pit of the neck.
        ease: distance of the cloth from the body, meters.
        flare: additional radius of the hem compared with a close fit, meters.
        open: half-width of the front opening at the hem, meters; 0 is closed.
        tucked: under the trousers instead of over them.
        folds: strength of folds; 1 is normal.
        lap: from 0 to 1 where thighs are raised: the front of a top ends at the fold of the groin instead of between the legs.
    """

    kind: str
    material: Material
    trim: Material
    sleeve: float = 0.3
    hem: float = 0.0
    neck: str = 'round'
    depth: float = 0.02
    ease: float = 0.01
    flare: float = 0.01
    open: float = 0.0
    tucked: bool = False
    folds: float = 1.0
    lap: float = 0.0


@dataclass
class Look:
    """Appearance of a person. Colors are linear RGB.

    Attributes:
        phenotype: see :meth:`Body.shape`.
        skin, blush, lip, hair, hair2, brow, eye: colors; ``blush`` multiplies the skin on cheeks and nose.
        brow_width: half-width of the brows in meters; stubble: 0..1; beard: length of the beard in meters, 0 for none.
        style: one of :data:`HAIR_STYLES`; hair_length: 0..1 within the style.
        garments: from the innermost to the outermost.
        footwear: 'barefoot', 'socks' or 'shoes'; shoe: 'low', 'sneaker' or 'boot'.
        socks: height on the template of the upper edge, or None; also in shoes.
        accessories: name of :data:`ACCESSORIES` -> material.
    """

    phenotype: dict
    skin: tuple
    blush: tuple
    lip: tuple
    hair: tuple
    hair2: tuple
    brow: tuple
    eye: tuple
    brow_width: float = 0.004
    stubble: float = 0.0
    beard: float = 0.0
    style: str = 'short'
    hair_length: float = 0.5
    garments: list = field(default_factory=list)
    footwear: str = 'shoes'
    shoe: str = 'sneaker'
    socks: float | None = None
    sock_material: Material | None = None
    shoe_material: Material | None = None
    sole_material: Material | None = None
    accessories: dict = field(default_factory=dict)


# 8-bit sRGB anchors, from light to dark.
_SKIN = [
    (244, 216, 198), (233, 193, 168), (222, 174, 141), (203, 150, 114), (176, 122, 86), (139, 92, 62), (104, 67, 46),
    (72, 46, 34),
]  # fmt: skip
_LIPS = [
    (206, 130, 124), (196, 118, 110), (184, 106, 96), (168, 92, 82), (146, 78, 68), (122, 66, 58), (98, 56, 52), (78, 44, 42),
]  # fmt: skip
_HAIR = {
    'black': (24, 20, 19), 'soft black': (38, 30, 27), 'dark brown': (58, 40, 30), 'brown': (88, 60, 42),
    'light brown': (124, 88, 60), 'dark blond': (158, 122, 82), 'blond': (200, 164, 112), 'red': (140, 66, 36),
    'auburn': (96, 46, 32), 'grey': (128, 124, 120), 'dark grey': (84, 80, 78), 'white': (208, 204, 198),
}  # fmt: skip
_EYES = {
    'brown': (84, 52, 30), 'dark': (48, 30, 20), 'hazel': (118, 90, 48), 'green': (92, 112, 72), 'blue': (88, 124, 158),
    'grey': (116, 128, 136),
}  # fmt: skip
# Cloth: mostly muted, some saturated.
_NEUTRAL = [
    (236, 233, 226), (214, 208, 196), (178, 172, 162), (122, 120, 118), (72, 73, 76), (38, 39, 42), (24, 25, 28), (40, 46, 66),
    (28, 34, 54), (86, 74, 60), (150, 128, 100), (196, 176, 144), (98, 98, 74), (66, 74, 56), (232, 222, 204),
]  # fmt: skip
_MUTED = [
    (108, 124, 142), (142, 158, 170), (150, 88, 80), (120, 54, 56), (184, 140, 126), (204, 170, 160), (88, 110, 96),
    (132, 148, 122), (168, 144, 92), (190, 158, 84), (96, 82, 112), (146, 126, 150), (66, 92, 110), (176, 112, 74), (58, 84, 84),
    (212, 196, 150),
]  # fmt: skip
_BRIGHT = [
    (176, 44, 46), (206, 92, 52), (220, 172, 62), (48, 120, 82), (36, 92, 152), (46, 60, 136), (112, 52, 120), (204, 88, 124),
    (58, 142, 152), (224, 208, 104), (118, 164, 84), (230, 146, 144),
]  # fmt: skip
_DENIM = [(44, 58, 88), (62, 82, 116), (92, 116, 148), (134, 154, 178), (36, 38, 46), (28, 34, 52), (110, 112, 116)]
_LEATHER = [(34, 26, 24), (62, 40, 30), (96, 62, 40), (140, 96, 62), (24, 24, 26), (182, 150, 112)]


def sample_look(rng: np.random.Generator) -> Look:
    """Draw a random appearance that is consistent in age, sex, colors and clothes."""
    phenotype, female, age = _phenotype(rng)
    child, old = age < 0.5, age > 0.86
    dark = _darkness(rng, phenotype)
    skin = _shade(_SKIN, dark) * (1 + 0.05 * rng.normal(size=3) * [1.0, 0.6, 0.8])
    lip = _shade(_LIPS, dark) * (1 + 0.08 * rng.normal(size=3))
    if female and not child and rng.random() < 0.35:  # lipstick
        lip = lip * rng.uniform(0.55, 0.95) * np.array([1.15, 0.62, 0.68])
    hair = _hair_color(rng, dark, age, female)
    tint = rng.uniform(0.5, 0.8) if hair.mean() > 0.02 else rng.uniform(0.3, 0.7)
    eyes = ['brown', 'dark'] if dark > 0.45 or rng.random() < 0.5 else list(_EYES)
    man = not female and not child
    beard = float(rng.uniform(0.004, 0.022)) if man and rng.random() < 0.22 else 0.0
    look = Look(
        phenotype=phenotype,
        skin=_color(skin),
        blush=_color(np.array([1.0, 0.62, 0.60]) + 0.05 * rng.normal(size=3)),
        lip=_color(lip),
        hair=_color(hair),
        hair2=_color(hair * tint),
        brow=_color(hair * rng.uniform(0.45, 0.8) + 0.002),
        eye=srgb(*_EYES[eyes[rng.integers(len(eyes))]]),
        brow_width=float(rng.uniform(0.0028, 0.004) if female or child else rng.uniform(0.0036, 0.0055)),
        stubble=float(rng.beta(1.2, 2.2)) if man else 0.0,
        beard=beard,
        style=_style(rng, female, child, old, dark),
        hair_length=float(rng.random()),
    )
    look.garments = _outfit(rng, female, child)
    _feet(rng, look)
    _accessories(rng, look, female, child)
    return look


def sample_garment(rng: np.random.Generator, kind: str) -> Garment:
    """Draw a garment of a kind with random cut and cloth."""
    u = rng.uniform
    cloth, trim = _cloth(rng, kind)
    g = Garment(kind, cloth, trim)
    if kind == 'tshirt':
        g.sleeve, g.hem, g.ease, g.flare = u(0.18, 0.5), u(-0.06, 0.03), u(0.006, 0.02), u(0.002, 0.028)
        g.neck = str(rng.choice(['round', 'round', 'v', 'boat']))
        g.depth = u(0.015, 0.05) if g.neck != 'v' else u(0.06, 0.12)
        if rng.random() < 0.2:
            g.sleeve = u(0.85, 0.97)
    elif kind == 'polo':
        g.sleeve, g.hem, g.ease, g.flare = u(0.25, 0.45), u(-0.05, 0.02), u(0.007, 0.018), u(0.002, 0.02)
        g.neck, g.depth = 'collar', u(0.03, 0.06)
    elif kind == 'shirt':
        g.sleeve = u(0.9, 0.97) if rng.random() < 0.7 else u(0.3, 0.75)
        g.hem, g.ease, g.flare = u(-0.08, 0.0), u(0.008, 0.022), u(0.005, 0.03)
        g.neck, g.depth = ('collar', u(0.0, 0.05)) if rng.random() < 0.85 else ('stand', 0.02)
        g.tucked = rng.random() < 0.3
    elif kind == 'sweater':
        g.sleeve, g.hem, g.ease, g.flare = u(0.9, 0.99), u(-0.05, 0.04), u(0.013, 0.03), u(0.0, 0.02)
        g.neck, g.depth = str(rng.choice(['round', 'v', 'turtle'])), u(0.01, 0.03)
        if g.neck == 'v':
            g.depth = u(0.06, 0.11)
    elif kind == 'hoodie':
        g.sleeve, g.hem, g.ease, g.flare = u(0.93, 1.0), u(-0.06, 0.02), u(0.016, 0.034), u(0.0, 0.02)
        g.neck, g.depth = 'hood', u(0.02, 0.04)
    elif kind == 'tank':
        g.sleeve, g.hem, g.ease, g.flare = u(-0.12, 0.0), u(-0.04, 0.04), u(0.004, 0.012), u(0.0, 0.016)
        g.neck, g.depth = str(rng.choice(['round', 'v', 'square'])), u(0.05, 0.1)
        g.tucked = rng.random() < 0.25
    elif kind in ('trousers', 'jeans'):
        g.hem, g.ease, g.flare = (
            u(-0.775, -0.72),
            u(0.005, 0.012),
            float(rng.choice([u(0, 0.008), u(0.012, 0.03), u(0.03, 0.06)])),
        )
        if rng.random() < 0.15:
            g.hem = u(-0.7, -0.6)
    elif kind == 'shorts':
        g.hem, g.ease, g.flare = u(-0.38, -0.14), u(0.006, 0.014), u(0.008, 0.04)
    elif kind == 'leggings':
        g.hem, g.ease, g.flare, g.folds = u(-0.75, -0.5), 0.003, 0.0, 0.25
    elif kind == 'skirt':
        g.hem, g.ease, g.flare = u(-0.68, -0.16), u(0.008, 0.012), u(0.0, 0.16)
    elif kind == 'dress':
        g.sleeve = float(rng.choice([u(-0.1, 0), u(0.15, 0.5), u(0.85, 0.97)]))
        g.hem, g.ease, g.flare = u(-0.68, -0.2), u(0.005, 0.014), u(0.01, 0.16)
        g.neck, g.depth = str(rng.choice(['round', 'v', 'boat', 'square'])), u(0.03, 0.1)
    elif kind == 'jumpsuit':
        g.sleeve = float(rng.choice([u(-0.1, 0), u(0.2, 0.5), u(0.9, 0.97)]))
        g.hem, g.ease, g.flare = u(-0.77, -0.3), u(0.007, 0.016), u(0.004, 0.05)
        g.neck, g.depth = str(rng.choice(['round', 'v', 'collar'])), u(0.02, 0.08)
    elif kind == 'jacket':
        g.sleeve, g.hem, g.ease, g.flare = u(0.95, 1.0), u(-0.1, 0.04), u(0.018, 0.032), u(0.004, 0.02)
        g.open = 0.0 if rng.random() < 0.35 else u(0.03, 0.12)
        g.neck, g.depth = str(rng.choice(['stand', 'collar'])), u(0.01, 0.03)
    elif kind == 'coat':
        g.sleeve, g.hem, g.ease, g.flare = u(0.96, 1.0), u(-0.6, -0.18), u(0.02, 0.034), u(0.01, 0.07)
        g.open = 0.0 if rng.random() < 0.4 else u(0.03, 0.12)
        g.neck, g.depth = 'collar', u(0.02, 0.06)
    elif kind == 'cardigan':
        g.sleeve, g.hem, g.ease, g.flare = u(0.9, 0.98), u(-0.12, 0.0), u(0.014, 0.024), u(0.005, 0.025)
        g.open, g.neck, g.depth = u(0.03, 0.1), 'v', u(0.08, 0.14)
    else:
        raise ValueError(f'garment {kind!r}: expected one of {", ".join(GARMENTS)}')
    g.folds *= u(0.7, 1.3)
    return g


def _phenotype(rng) -> tuple[dict, bool, float]:
    female = rng.random() < 0.5
    kind = rng.random()
    age = rng.uniform(0.27, 0.5) if kind < 0.14 else rng.uniform(0.56, 0.86) if kind < 0.82 else rng.uniform(0.86, 1.0)
    ancestry = rng.dirichlet([0.45, 0.45, 0.6])
    return dict(
        gender=float(np.clip(rng.beta(8, 1.5) if female else rng.beta(1.5, 8), 0, 1)),
        age=float(age), muscle=float(rng.beta(3.5, 3.5) if female else rng.beta(4, 3)), weight=float(rng.beta(2.6, 2.8)),
        height=float(rng.beta(4, 4)), proportions=float(rng.beta(4, 3)), cupsize=float(rng.beta(3, 3)),
        firmness=float(rng.beta(3, 3)),
        african=float(ancestry[0]), asian=float(ancestry[1]), caucasian=float(ancestry[2]),
    ), bool(female), float(age)  # fmt: skip


def _darkness(rng, phenotype: dict) -> float:
    mean = 0.82 * phenotype['african'] + 0.36 * phenotype['asian'] + 0.16 * phenotype['caucasian']
    return float(np.clip(mean + 0.11 * rng.normal(), 0, 1))


def _shade(anchors: list, where: float) -> np.ndarray:
    table = np.array([srgb(*c) for c in anchors])
    at = where * (len(table) - 1)
    low = min(int(at), len(table) - 2)
    return table[low] + (at - low) * (table[low + 1] - table[low])


def _color(values) -> tuple:
    return tuple(float(v) for v in np.clip(values, 0.002, 1))


def _pick(rng, palette: list) -> tuple:
    """Draw a color of a palette with a small variation."""
    color = np.array(palette[rng.integers(len(palette))], float)
    return _color(np.array(srgb(*np.clip(color + rng.normal(0, 6, 3), 0, 255))) * rng.uniform(0.85, 1.12))


def _cloth_color(rng) -> tuple:
    return _pick(rng, [_NEUTRAL, _MUTED, _BRIGHT][rng.choice(3, p=[0.48, 0.38, 0.14])])


def _hair_color(rng, dark: float, age: float, female: bool) -> np.ndarray:
    if rng.random() < np.clip((age - 0.8) / 0.17, 0, 0.93):
        name = rng.choice(['grey', 'dark grey', 'white'], p=[0.45, 0.25, 0.3])
        if female and rng.random() < 0.3:
            name = 'light brown'
    elif dark > 0.5:
        name = rng.choice(['black', 'soft black', 'dark brown'], p=[0.55, 0.3, 0.15])
    elif dark > 0.27:
        name = rng.choice(['black', 'soft black', 'dark brown', 'brown'], p=[0.3, 0.3, 0.25, 0.15])
    else:
        names = ['soft black', 'dark brown', 'brown', 'light brown', 'dark blond', 'blond', 'red', 'auburn']
        name = rng.choice(names, p=[0.1, 0.22, 0.22, 0.14, 0.12, 0.1, 0.05, 0.05])
    return np.array(srgb(*_HAIR[str(name)])) * rng.uniform(0.8, 1.2) + 0.002


def _style(rng, female: bool, child: bool, old: bool, dark: float) -> str:
    if female:
        names = ['short', 'side_part', 'bob', 'fringe', 'long', 'ponytail', 'bun', 'curly', 'afro']
        p = np.array([0.05, 0.06, 0.17, 0.08, 0.27, 0.16, 0.1, 0.08, 0.03])
    else:
        names = ['bald', 'buzz', 'short', 'swept', 'side_part', 'curly', 'afro', 'receding', 'long', 'bun']
        p = np.array([0.05, 0.13, 0.28, 0.16, 0.2, 0.06, 0.02, 0.05, 0.03, 0.02])
        if child:
            p[[0, 7]] = 0
        if old:
            p[[0, 7]] = 0.16, 0.3
    if dark > 0.6:
        p[[names.index('curly'), names.index('afro')]] *= 4
    return str(rng.choice(names, p=p / p.sum()))


def _cloth(rng, kind: str) -> tuple[Material, Material]:
    """Draw the materials of cloth and trim of a garment."""
    seed = float(rng.uniform(0, 50))
    if kind == 'jeans' or (kind in ('jacket', 'shorts', 'skirt') and rng.random() < 0.25):
        color = _pick(rng, _DENIM)
        cloth = Material(
            'cloth',
            color,
            'twill',
            color2=_color(np.array(color) * 0.7),
            scale=0.0022,
            gloss=0.06,
            bump=0.0008,
            seed=seed,
        )
        return cloth, Material('cloth', _color(np.array(color) * 0.9), 'twill', scale=0.0022, bump=0.0008, seed=seed)
    color = _cloth_color(rng)
    if kind in ('trousers', 'coat', 'leggings', 'jacket') and rng.random() < 0.75:
        color = _pick(rng, _NEUTRAL)
    if kind == 'jacket' and rng.random() < 0.25:
        color = _pick(rng, _LEATHER)
        leather = Material('leather', color, gloss=0.45, bump=0.0006, seed=seed)
        return leather, leather
    second = _pick(rng, _NEUTRAL if rng.random() < 0.6 else _MUTED)
    third = _pick(rng, [_NEUTRAL, _MUTED, _BRIGHT][rng.integers(3)])
    plain = {
        'trousers': 0.85,
        'leggings': 0.85,
        'coat': 0.8,
        'hoodie': 0.65,
        'tank': 0.75,
        'jacket': 0.85,
        'jumpsuit': 0.7,
    }.get(kind, 0.5)
    pattern, scale = 'plain', 0.05
    if rng.random() > plain:
        choices = {
            'shirt': ['stripes_u', 'checks', 'checks', 'dots', 'blotches'],
            'tshirt': ['stripes_v', 'print', 'print', 'blotches', 'dots'],
            'polo': ['stripes_v', 'stripes_v', 'dots'], 'sweater': ['stripes_v', 'stripes_v', 'checks', 'print'],
            'hoodie': ['print', 'print', 'blotches'],
            'tank': ['stripes_v', 'print', 'dots'],
            'dress': ['dots', 'blotches', 'blotches', 'stripes_v', 'checks', 'stripes_u'],
            'skirt': ['checks', 'dots', 'blotches', 'stripes_v', 'stripes_u'], 'cardigan': ['stripes_v', 'checks'],
        }.get(kind, ['checks', 'stripes_u', 'blotches'])  # fmt: skip
        pattern = choices[rng.integers(len(choices))]
        scale = {
            'stripes_u': rng.uniform(0.008, 0.03), 'stripes_v': rng.uniform(0.015, 0.08), 'checks': rng.uniform(0.02, 0.09),
            'dots': rng.uniform(0.012, 0.045), 'blotches': rng.uniform(0.03, 0.1), 'print': rng.uniform(0.06, 0.11),
        }[pattern]  # fmt: skip
    elif kind in ('sweater', 'cardigan'):
        pattern, scale = 'knit', float(rng.uniform(0.004, 0.009))
    if abs(np.mean(color) - np.mean(second)) < 0.03:  # keep the pattern visible
        second = _color(np.array(second) * 0.4 if np.mean(color) > 0.12 else np.array(second) * 0.5 + 0.35)
    bump = 0.0036 if kind in ('sweater', 'cardigan') else 0.003
    gloss = float(rng.choice([0.03, 0.08, 0.3], p=[0.5, 0.38, 0.12]))
    cloth = Material('cloth', color, pattern, second, third, float(scale), gloss, bump, seed)
    trim_color = color if rng.random() < 0.75 else second
    return cloth, Material(
        'cloth',
        trim_color,
        'knit' if kind in ('tshirt', 'sweater', 'hoodie') else 'plain',
        scale=0.004,
        gloss=gloss,
        bump=bump,
    )


def _outfit(rng, female: bool, child: bool) -> list:
    r = rng.random()
    if r < (0.17 if female else 0.005):
        garments = [sample_garment(rng, 'dress')]
    elif r < (0.21 if female else 0.035):
        garments = [sample_garment(rng, 'jumpsuit')]
    else:
        p = [0.26, 0.26, 0.14, 0.12, 0.22] if female else [0.36, 0.38, 0.235, 0.015, 0.01]
        lower = sample_garment(rng, str(rng.choice(LOWER, p=p)))
        p = [0.34, 0.2, 0.04, 0.18, 0.1, 0.14] if female else [0.36, 0.22, 0.09, 0.14, 0.14, 0.05]
        garments = [lower, sample_garment(rng, str(rng.choice(UPPER, p=p)))]
        if garments[1].tucked:
            garments = garments[::-1]
    if rng.random() < 0.27 and garments[-1].kind != 'hoodie':
        p = [0.5, 0.25, 0.25] if not child else [0.7, 0.15, 0.15]
        for g in garments:  # a wide skirt does not fit under a coat
            g.flare = min(g.flare, 0.03)
        garments.append(sample_garment(rng, str(rng.choice(OUTER, p=p))))
    return garments


def _feet(rng, look: Look) -> None:
    look.footwear = str(rng.choice(['barefoot', 'socks', 'shoes'], p=[0.13, 0.1, 0.77]))
    look.shoe = str(rng.choice(['low', 'sneaker', 'boot'], p=[0.33, 0.47, 0.2]))
    if look.footwear == 'socks' or (look.footwear == 'shoes' and rng.random() < 0.8):
        look.socks = float(
            rng.choice(
                [rng.uniform(-0.74, -0.7), rng.uniform(-0.69, -0.55), rng.uniform(-0.5, -0.4)], p=[0.4, 0.45, 0.15]
            )
        )
    if look.shoe == 'boot' and look.footwear == 'shoes' and look.socks is not None:
        look.socks = min(look.socks, -0.7)
    color = _pick(rng, _NEUTRAL[:8]) if rng.random() < 0.7 else _cloth_color(rng)
    pattern = 'stripes_v' if rng.random() < 0.2 else 'plain'
    look.sock_material = Material(
        'cloth',
        color,
        pattern,
        _cloth_color(rng),
        scale=float(rng.uniform(0.01, 0.04)),
        bump=0.001,
        seed=float(rng.uniform(0, 50)),
    )
    white = (0.75, 0.74, 0.7)
    if look.shoe == 'sneaker':
        look.shoe_material = Material(
            'cloth', _pick(rng, _NEUTRAL) if rng.random() < 0.6 else _pick(rng, _BRIGHT), gloss=0.2, bump=0.0006
        )
        look.sole_material = Material('matte', white if rng.random() < 0.75 else _pick(rng, _NEUTRAL), gloss=0.15)
    else:
        look.shoe_material = Material('leather', _pick(rng, _LEATHER), gloss=0.5, bump=0.0003)
        look.sole_material = Material('matte', _pick(rng, _LEATHER[:2] + _LEATHER[4:5]), gloss=0.1)


def _accessories(rng, look: Look, female: bool, child: bool) -> None:
    coat = any(g.kind in ('coat', 'jacket') for g in look.garments)
    chance = dict(
        cap=0.06 if female else 0.09, beanie=0.08 if coat else 0.03, brimmed=0.04, glasses=0.04 if child else 0.15,
        sunglasses=0.06,
        scarf=0.22 if coat else 0.03, belt=0.3, backpack=0.08, shoulder_bag=0.13 if female else 0.05,
        gloves=0.13 if coat else 0.015, watch=0.2,
    )  # fmt: skip
    worn = [name for name in ACCESSORIES if rng.random() < chance[name]]
    for group in (('cap', 'beanie', 'brimmed'), ('glasses', 'sunglasses'), ('backpack', 'shoulder_bag')):
        for extra in [name for name in worn if name in group][1:]:
            worn.remove(extra)
    for name in worn:
        look.accessories[name] = accessory_material(rng, name)


def accessory_material(rng: np.random.Generator, name: str) -> Material:
    """Draw the material of an accessory."""
    seed = float(rng.uniform(0, 50))
    if name in ('glasses', 'sunglasses'):
        metal = rng.random() < 0.4
        return Material(
            'metal' if metal else 'glossy',
            (0.5, 0.46, 0.4) if metal else _pick(rng, _LEATHER + _NEUTRAL[4:9]),
            gloss=0.6,
        )
    if name in ('belt', 'watch') or (name == 'shoulder_bag' and rng.random() < 0.7):
        return Material('leather', _pick(rng, _LEATHER), gloss=0.4, bump=0.0003, seed=seed)
    if name == 'gloves':
        return Material(
            'leather' if rng.random() < 0.5 else 'cloth',
            _pick(rng, _LEATHER + _NEUTRAL),
            gloss=0.2,
            bump=0.0008,
            seed=seed,
        )
    pattern = {'scarf': ['plain', 'checks', 'stripes_v', 'knit'], 'beanie': ['knit', 'knit', 'stripes_v']}.get(
        name, ['plain']
    )
    pattern = pattern[rng.integers(len(pattern))]
    scale = 0.005 if pattern == 'knit' else float(rng.uniform(0.02, 0.06))
    return Material(
        'cloth', _cloth_color(rng), pattern, _cloth_color(rng), _cloth_color(rng), scale, 0.05, 0.001, seed
    )
