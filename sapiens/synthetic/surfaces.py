"""Surfaces on the device (warp; CPU and CUDA): patterns, pictures, skin, eyes and relief of materials.

Names of kinds and patterns: :mod:`.materials`.
"""

# ruff: noqa: UP018 (warp: a cast declares a variable)

import warp as wp

from .materials import KINDS, PATTERNS

__all__ = ['Finish', 'Hit', 'Level', 'Paint', 'albedo_of', 'fbm', 'frac', 'mix', 'shading_normal']

wp.set_module_options({'enable_backward': False, 'fast_math': True, 'optimization_level': 3})

_kind = {name: wp.constant(index) for index, name in enumerate(KINDS)}
SKIN, HAIR, EYE = _kind['skin'], _kind['hair'], _kind['eye']
_pattern = {name: wp.constant(index) for index, name in enumerate(PATTERNS)}
STRIPES_U, STRIPES_V, CHECKS, DOTS = (_pattern[n] for n in ('stripes_u', 'stripes_v', 'checks', 'dots'))
BLOTCHES, MARBLE, TWILL, KNIT = (_pattern[n] for n in ('blotches', 'marble', 'twill', 'knit'))
PLANKS, TILES, BRICKS, GRASS = (_pattern[n] for n in ('planks', 'tiles', 'bricks', 'grass'))
SPECKLE, PRINT = _pattern['speckle'], _pattern['print']
IMAGE, VERTICES = _pattern['image'], _pattern['vertices']


@wp.struct
class Finish:
    """A :class:`sapiens.synthetic.materials.Material` on the device."""

    kind: wp.int32
    pattern: wp.int32
    color: wp.vec3
    color2: wp.vec3
    color3: wp.vec3
    scale: wp.float32
    gloss: wp.float32
    bump: wp.float32
    seed: wp.float32
    stubble: wp.float32
    level: wp.int32  # first level of its image, and their number
    levels: wp.int32


@wp.struct
class Level:
    """One size of the image of a material."""

    start: wp.int64  # of its pixels, row by row
    width: wp.int32
    height: wp.int32


@wp.struct
class Paint:
    materials: wp.array(dtype=Finish)
    levels: wp.array(dtype=Level)
    pixels: wp.array(dtype=wp.uint32)  # of all levels: sRGB, red in the lowest byte
    linear: wp.array(dtype=wp.float32)  # (256,) linear light of a byte
    brows: wp.array(dtype=wp.vec3)  # lines of the left and then the right brow on the template: x, z, half-width
    iris: wp.array(dtype=wp.vec3)  # centers on the template, left and right
    iris_radius: wp.float32
    pupil_radius: wp.float32


@wp.struct
class Hit:
    t: wp.float32
    rounding: wp.float32  # meters from t to the round surface that the triangle approximates
    code: wp.int32  # triangle, or -2 - plane, or -1 for nothing
    material: wp.int32
    group: wp.int32
    normal: wp.vec3  # for shading
    true_normal: wp.vec3  # for labels
    texture: wp.vec3


@wp.func
def mix(a: wp.vec3, b: wp.vec3, t: float):
    return a * (1.0 - t) + b * t


@wp.func
def frac(x: float):
    return x - wp.floor(x)


@wp.func
def hash1(x: float, y: float):
    return frac(wp.sin(x * 12.9898 + y * 78.233) * 43758.547)


@wp.func
def band(x: float, width: float, blur: float):
    """Return 1 inside the first ``width`` of each period of x, smoothed over ``blur``; the mean if that is wider."""
    d = 0.5 * width - wp.abs(frac(x) - 0.5 * width)
    d2 = wp.abs(frac(x) - 1.0 - 0.5 * width)
    d = wp.max(d, 0.5 * width - d2)
    sharp = wp.clamp(d / wp.max(blur, 1.0e-4) + 0.5, 0.0, 1.0)
    return sharp + (width - sharp) * wp.clamp(2.0 * blur - 0.5, 0.0, 1.0)


@wp.func
def lattice(x: int, y: int, z: int):
    """Return a random value in [-1, 1] for a point of the integer grid."""
    h = wp.uint32(x) * wp.uint32(73856093) ^ wp.uint32(y) * wp.uint32(19349663) ^ wp.uint32(z) * wp.uint32(83492791)
    h = (h ^ (h >> wp.uint32(13))) * wp.uint32(1274126177)
    h = h ^ (h >> wp.uint32(16))
    return float(h & wp.uint32(65535)) * (2.0 / 65535.0) - 1.0


@wp.func
def noise4(p: wp.vec3):
    """Return smooth noise with a period of one unit and an amplitude of about 0.35, with its gradient: (dx, dy, dz, value)."""
    x = int(wp.floor(p[0]))
    y = int(wp.floor(p[1]))
    z = int(wp.floor(p[2]))
    fx = p[0] - wp.floor(p[0])
    fy = p[1] - wp.floor(p[1])
    fz = p[2] - wp.floor(p[2])
    u = fx * fx * (3.0 - 2.0 * fx)
    v = fy * fy * (3.0 - 2.0 * fy)
    w = fz * fz * (3.0 - 2.0 * fz)
    a = lattice(x, y, z)
    b = lattice(x + 1, y, z)
    c = lattice(x, y + 1, z)
    d = lattice(x + 1, y + 1, z)
    e = lattice(x, y, z + 1)
    f = lattice(x + 1, y, z + 1)
    g = lattice(x, y + 1, z + 1)
    h = lattice(x + 1, y + 1, z + 1)
    k1 = b - a
    k2 = c - a
    k3 = e - a
    k4 = a - b - c + d
    k5 = a - c - e + g
    k6 = a - b - e + f
    k7 = -a + b + c - d + e - f - g + h
    value = a + k1 * u + k2 * v + k3 * w + k4 * u * v + k5 * v * w + k6 * w * u + k7 * u * v * w
    du = 6.0 * fx * (1.0 - fx)
    dv = 6.0 * fy * (1.0 - fy)
    dw = 6.0 * fz * (1.0 - fz)
    return wp.vec4(
        du * (k1 + k4 * v + k6 * w + k7 * v * w),
        dv * (k2 + k5 * w + k4 * u + k7 * w * u),
        dw * (k3 + k6 * u + k5 * v + k7 * u * v),
        value,
    )


@wp.func
def noise(seed: float, p: wp.vec3):
    n = noise4(p + wp.vec3(37.1, 91.7, 17.3) * seed)
    return 0.75 * n[3]


@wp.func
def fbm(seed: float, p: wp.vec3):
    return noise(seed, p) + 0.5 * noise(seed, p * 2.03) + 0.25 * noise(seed, p * 4.11)


@wp.func
def pattern_color(m: Finish, tex: wp.vec3, footprint: float):
    c1 = m.color
    c2 = m.color2
    c3 = m.color3
    pattern = m.pattern
    scale = wp.max(m.scale, 1.0e-4)
    seed = m.seed
    u = tex[0] / scale
    v = tex[1] / scale
    blur = footprint / scale
    fine = wp.clamp(1.2 - 2.0 * blur, 0.0, 1.0)  # patterns finer than a pixel fade
    color = c1
    if pattern == STRIPES_U:
        color = mix(c1, c2, band(u, 0.5, blur))
    elif pattern == STRIPES_V:
        color = mix(c1, c2, band(v, 0.4, blur))
    elif pattern == CHECKS:
        a = band(u, 0.5, blur)
        b = band(v, 0.5, blur)
        color = mix(c1, c2, 0.45 * (a + b))
        line = wp.max(band(u + 0.22, 0.06, blur), band(v + 0.22, 0.06, blur))
        color = mix(color, c3, 0.6 * line)
    elif pattern == DOTS:
        row = wp.floor(v)
        x = frac(u + 0.5 * (row - 2.0 * wp.floor(row * 0.5))) - 0.5
        y = frac(v) - 0.5
        r = wp.sqrt(x * x + y * y)
        color = mix(c1, c2, wp.clamp((0.24 - r) / wp.max(blur, 0.01) + 0.5, 0.0, 1.0))
    elif pattern == BLOTCHES:
        n = fbm(seed, wp.vec3(u, v, seed))
        k = fbm(seed, wp.vec3(v + 7.3, u - 2.1, seed + 5.0))
        color = mix(c1, c2, wp.clamp(n * 6.0 + 0.3, 0.0, 1.0))
        color = mix(color, c3, wp.clamp(k * 6.0 - 0.9, 0.0, 1.0))
    elif pattern == MARBLE:
        n = fbm(seed, wp.vec3(u, v, seed))
        color = mix(c1, c2, wp.pow(0.5 + 0.5 * wp.sin(6.2832 * (v * 0.5 + 1.5 * n)), 3.0))
    elif pattern == TWILL:
        n = noise(seed, wp.vec3(tex[0] * 9.0, tex[1] * 9.0, seed))
        color = c1 * (1.0 + 0.25 * n + 0.16 * fine * wp.sin(6.2832 * (u + v)))
    elif pattern == KNIT:
        color = c1 * (1.0 + 0.22 * fine * wp.sin(6.2832 * u))
    elif pattern == PLANKS:
        board = wp.floor(u)
        along = frac(v * 0.12 + hash1(board, seed))
        tone = hash1(board, wp.floor(v * 0.12 + hash1(board, seed)) + seed)
        grain = noise(seed, wp.vec3(u * 9.0, v * 0.7, board))
        color = mix(c1, c2, wp.clamp(0.35 * tone + 0.35 + 0.5 * grain, 0.0, 1.0))
        joint = wp.max(band(u + 0.015, 0.03, blur), band(along + 0.002, 0.004, blur * 0.12))
        color = mix(color, c3, 0.8 * joint)
    elif pattern == TILES:
        tone = hash1(wp.floor(u) + seed, wp.floor(v))
        joint = wp.max(band(u + 0.02, 0.04, blur), band(v + 0.02, 0.04, blur))
        color = mix(mix(c1, c3, 0.35 * tone), c2, joint)
    elif pattern == BRICKS:
        row = wp.floor(v * 2.6)
        x = u + 0.5 * (row - 2.0 * wp.floor(row * 0.5))
        tone = hash1(wp.floor(x) + seed, row)
        grain = noise(seed, wp.vec3(u * 14.0, v * 14.0, seed))
        joint = wp.max(band(x + 0.025, 0.05, blur), band(v * 2.6 + 0.06, 0.12, blur * 2.6))
        color = mix(mix(c1, c3, tone) * (1.0 + 0.3 * grain), c2, joint)
    elif pattern == GRASS:
        n = noise(seed, wp.vec3(u * 0.15, v * 0.15, seed)) + 0.5 * noise(seed, wp.vec3(u * 0.4, v * 0.4, seed))
        k = float(0.0)
        if fine > 0.0:
            k = noise(seed, wp.vec3(u * 3.0, v * 3.0, seed)) * fine
        color = mix(c1, c2, wp.clamp(0.5 + n + 0.7 * k, 0.0, 1.0))
    elif pattern == SPECKLE:
        k = noise(seed, wp.vec3(u * 2.0, v * 2.0, seed)) * fine
        n = noise(seed, wp.vec3(u * 0.05, v * 0.05, seed))
        color = mix(c1, c2, wp.clamp(0.4 + 0.5 * n + 0.8 * k, 0.0, 1.0))
    elif pattern == PRINT:
        n = fbm(seed, wp.vec3(u * 0.9, v * 0.9, seed))
        r = wp.sqrt(u * u + v * v) + 0.35 * n
        edge = wp.max(blur * 2.0, 0.02)
        color = mix(c1, c2, wp.clamp((1.0 - r) / edge, 0.0, 1.0))
        color = mix(color, c3, wp.clamp((0.55 - r - 0.3 * n) / edge, 0.0, 1.0))
    if m.kind == HAIR:
        streak = noise(seed, wp.vec3(tex[0] * 900.0 * fine, tex[1] * 40.0, seed))
        lock = noise(seed, wp.vec3(tex[0] * 130.0, tex[1] * 12.0, seed + 3.0))
        color = mix(color, c2, wp.clamp(0.35 + 0.9 * lock, 0.0, 1.0)) * (1.0 + 0.55 * streak)
    return wp.vec3(wp.clamp(color[0], 0.0, 1.0), wp.clamp(color[1], 0.0, 1.0), wp.clamp(color[2], 0.0, 1.0))


@wp.func
def segment_distance(p: wp.vec3, a: wp.vec3, b: wp.vec3):
    """Return the distance in x and z over the half-width, and the position along the segment (a, b: x, z, half-width)."""
    px = p[0] - a[0]
    pz = p[2] - a[1]
    bx = b[0] - a[0]
    bz = b[1] - a[1]
    t = wp.clamp((px * bx + pz * bz) / wp.max(bx * bx + bz * bz, 1.0e-9), 0.0, 1.0)
    dx = px - t * bx
    dz = pz - t * bz
    return wp.vec2(wp.sqrt(dx * dx + dz * dz) / (a[2] * (1.0 - t) + b[2] * t), t)


@wp.func
def skin_color(paint: Paint, m: Finish, p: wp.vec3, footprint: float):
    """Return the color of skin at a point of the template: uneven tone, blush, brows, stubble."""
    base = m.color
    hair = m.color2
    blush = m.color3
    seed = m.seed
    tone = noise(seed, p * 14.0) * 0.10 + noise(seed, p * 60.0) * 0.05
    fine = wp.clamp(1.3 - footprint * 500.0, 0.0, 1.0)
    tone += noise(seed, p * 700.0) * 0.07 * fine
    color = base * (1.0 + tone)
    head = wp.length(p - 0.5 * (paint.iris[0] + paint.iris[1]))
    if head < 0.16 and p[1] < paint.iris[0][1] + 0.09:
        middle = 0.5 * (paint.iris[0] + paint.iris[1])
        q = p - middle
        x = wp.abs(q[0])
        cheek = wp.exp(-((x - 0.042) * (x - 0.042) + (q[2] + 0.045) * (q[2] + 0.045)) / 0.0006)
        nose = wp.exp(-(x * x + (q[2] + 0.045) * (q[2] + 0.045)) / 0.00022)
        color = mix(color, wp.cw_mul(color, blush), 0.55 * wp.max(cheek, nose))
        socket = wp.exp(-((x - 0.03) * (x - 0.03) * 1.5 + q[2] * q[2] * 4.0) / 0.0006)
        color = color * (1.0 - 0.16 * socket)
        count = paint.brows.shape[0] // 2
        nearest = float(1.0e3)
        along = float(0.0)
        for side in range(2):
            for i in range(count - 1):
                k = side * count + i
                found = segment_distance(p, paint.brows[k], paint.brows[k + 1])
                if found[0] < nearest:
                    nearest = found[0]
                    along = float(i) + found[1]
        nearest = nearest / wp.max(m.scale, 0.1)
        if nearest < 1.7:
            strand = noise(seed, wp.vec3(p[0] * 700.0, along * 2.0, p[2] * 1300.0)) * fine
            cover = wp.clamp((1.15 - nearest) * 1.8 + 0.9 * strand, 0.0, 1.0)
            color = mix(color, hair, 0.8 * cover)
        stubble = m.stubble
        if stubble > 0.0:
            mouth = wp.exp(-(q[0] * q[0] * 1.2 + (q[2] + 0.066) * (q[2] + 0.066) * 6.0) / 0.0009)
            jaw = wp.clamp((-q[2] - 0.062) / 0.014, 0.0, 1.0) * wp.clamp((q[2] + 0.17) / 0.03, 0.0, 1.0)
            sides = wp.clamp((x - 0.046) / 0.01, 0.0, 1.0) * wp.clamp((-q[2] - 0.02) / 0.02, 0.0, 1.0)
            grain = 0.75 + 0.7 * noise(seed, p * 1100.0) * fine
            cover = wp.clamp(wp.max(wp.max(jaw, sides), mouth) * grain, 0.0, 1.0)
            color = mix(color, wp.cw_mul(color, hair * 2.0 + wp.vec3(0.06, 0.06, 0.07)), stubble * cover)
    return color


@wp.func
def eye_color(paint: Paint, m: Finish, p: wp.vec3):
    """Return the color of white, iris and pupil; radii are meters on the template."""
    iris = m.color
    r = wp.min(wp.length(p - paint.iris[0]), wp.length(p - paint.iris[1]))
    color = mix(wp.vec3(0.72, 0.69, 0.67), wp.vec3(0.60, 0.40, 0.36), wp.clamp((r - 0.009) / 0.008, 0.0, 0.7))
    ring = wp.clamp((paint.iris_radius - r) / 0.0004 + 0.5, 0.0, 1.0)
    limbus = wp.clamp(0.35 + (paint.iris_radius + 0.0003 - r) / 0.0022, 0.35, 1.0)
    color = mix(color, iris * limbus, ring)
    return mix(color, wp.vec3(0.004, 0.004, 0.005), wp.clamp((paint.pupil_radius - r) / 0.0003 + 0.5, 0.0, 1.0))


@wp.func
def pixel_of(paint: Paint, level: Level, x: int, y: int):
    """Return the linear color of a pixel; images repeat beyond their borders."""
    column = x % level.width
    row = y % level.height
    if column < 0:
        column += level.width
    if row < 0:
        row += level.height
    code = paint.pixels[level.start + wp.int64(row) * wp.int64(level.width) + wp.int64(column)]
    r = int(code & wp.uint32(255))
    g = int((code >> wp.uint32(8)) & wp.uint32(255))
    b = int((code >> wp.uint32(16)) & wp.uint32(255))
    return wp.vec3(paint.linear[r], paint.linear[g], paint.linear[b])


@wp.func
def between_pixels(paint: Paint, level: Level, u: float, v: float):
    x = u * float(level.width) - 0.5
    y = (1.0 - v) * float(level.height) - 0.5
    i = int(wp.floor(x))
    j = int(wp.floor(y))
    tx = x - wp.floor(x)
    ty = y - wp.floor(y)
    above = mix(pixel_of(paint, level, i, j), pixel_of(paint, level, i + 1, j), tx)
    below = mix(pixel_of(paint, level, i, j + 1), pixel_of(paint, level, i + 1, j + 1), tx)
    return mix(above, below, ty)


@wp.func
def image_color(paint: Paint, m: Finish, tex: wp.vec3, footprint: float):
    """Return the color of an image, between its two levels whose pixels are about as large as the footprint in meters."""
    fine = wp.clamp(wp.log2(wp.max(footprint * tex[2], 1.0)), 0.0, float(m.levels - 1))
    first = wp.min(int(wp.floor(fine)), m.levels - 1)
    second = wp.min(first + 1, m.levels - 1)
    a = between_pixels(paint, paint.levels[m.level + first], tex[0], tex[1])
    b = between_pixels(paint, paint.levels[m.level + second], tex[0], tex[1])
    return wp.cw_mul(mix(a, b, fine - float(first)), m.color)


@wp.func
def albedo_of(paint: Paint, m: Finish, hit: Hit, footprint: float):
    kind = m.kind
    if kind == SKIN:
        color = skin_color(paint, m, hit.texture, footprint)
    elif kind == EYE:
        color = eye_color(paint, m, hit.texture)
    elif m.pattern == IMAGE:
        color = image_color(paint, m, hit.texture, footprint)
    elif m.pattern == VERTICES:
        color = hit.texture
    else:
        color = pattern_color(m, hit.texture, footprint)
    return color


@wp.func
def shading_normal(m: Finish, hit: Hit, footprint: float):
    """Tilt the normal by the fine relief of the material. Labels do not use it."""
    bump = m.bump
    n = hit.normal
    if bump > 0.0:
        kind = m.kind
        frequency = float(45.0)
        if kind == SKIN:
            frequency = 420.0
        if kind == HAIR:
            frequency = 160.0
        fade = wp.clamp(1.4 - footprint * frequency, 0.0, 1.0)
        if fade > 0.0:
            seed = m.seed + 0.5
            slope = noise4(hit.texture * frequency + wp.vec3(37.1, 91.7, 17.3) * seed)
            g = wp.vec3(slope[0], slope[1], slope[2]) * (0.75 * bump * frequency * fade)
            n = wp.normalize(n - (g - n * wp.dot(g, n)))
    return n
