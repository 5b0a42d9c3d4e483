"""Materials of surfaces. Patterns are functions of texture coordinates (meters) and have no resolution.

Colors are linear RGB in [0, 1]. :func:`srgb` converts 8-bit colors.
"""

from dataclasses import dataclass

import numpy as np

from .images import ImageLevels

__all__ = ['KINDS', 'PATTERNS', 'Material', 'srgb']

# Reflection of a surface, and what is painted on it. The renderer switches on the index.
KINDS = ('matte', 'skin', 'cloth', 'leather', 'hair', 'eye', 'teeth', 'wet', 'glossy', 'metal')

# Patterns of ``color``, ``color2`` and ``color3``. u and v are texture coordinates, the period is ``scale`` meters.
PATTERNS = (
    'plain',
    'stripes_u',  # bands across u (vertical stripes on a shirt)
    'stripes_v',  # bands across v (horizontal stripes)
    'checks',  # plaid of two translucent band systems
    'dots',
    'blotches',  # smooth noise in three colors (camouflage, floral from afar)
    'marble',  # turbulent veins
    'twill',  # fine diagonal lines of low contrast (denim)
    'knit',  # fine vertical ribs of low contrast
    'planks',  # wooden boards along v
    'tiles',  # square tiles with joints of color2
    'bricks',
    'grass',
    'speckle',  # fine grains (terrazzo, asphalt, carpet)
    'print',  # one blob-shaped motif of color2 and color3 on the chest (u = v = 0), plain elsewhere
    'image',  # pixels of an image file: u and v are fractions of its sides, v upwards, w is its pixels per meter of the surface
    'vertices',  # the texture coordinates are the color, linear RGB
)


@dataclass
class Material:
    """Material of one surface.

    Attributes:
        kind, pattern: names of :data:`KINDS`, :data:`PATTERNS`.
        color, color2, color3: linear RGB.
        scale: period of the pattern in meters.
        gloss: strength of the highlight, 0..1; its width follows from the kind.
        bump: height in meters of fine relief. It tilts the normals of the shading, not those of the labels.
        seed: phase of the noise of the pattern, any float.
        stubble: darkness of the shaved beard, 0..1, for skin only. The texture coordinates of skin are places on the template
            body. ``color`` is the skin, ``color2`` brows and stubble, ``color3`` the factor of blush; ``scale`` multiplies the
            width of the brows (1: given by Goliath's brow keypoints). For eyes, ``color`` is the iris.
        image: of the pattern 'image'. ``color`` is a factor on it.
    """

    kind: str = 'matte'
    color: tuple = (0.5, 0.5, 0.5)
    pattern: str = 'plain'
    color2: tuple = (0.0, 0.0, 0.0)
    color3: tuple = (0.0, 0.0, 0.0)
    scale: float = 0.05
    gloss: float = 0.0
    bump: float = 0.0
    seed: float = 0.0
    stubble: float = 0.0
    image: ImageLevels | None = None

    def __post_init__(self):
        for name, known in (('kind', KINDS), ('pattern', PATTERNS)):
            if getattr(self, name) not in known:
                raise ValueError(f'material {name} {getattr(self, name)!r}: expected one of {", ".join(known)}')
        if (self.pattern == 'image') != (self.image is not None):
            raise ValueError(f"material of pattern {self.pattern!r}: 'image', and it alone, has an image")


def srgb(*rgb: float) -> tuple:
    """Convert 8-bit sRGB values to linear RGB: ``srgb(255, 128, 0)``, or one triple."""
    values = np.asarray(rgb[0] if len(rgb) == 1 else rgb, np.float64) / 255
    return tuple(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).tolist())
