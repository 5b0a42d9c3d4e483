"""Light on the device (warp; CPU and CUDA): what a surface reflects, and what is seen where there is none."""

# ruff: noqa: SIM109, UP018 (warp: a cast declares a variable; no "in", no conditional expressions)

import warp as wp

from .materials import KINDS
from .surfaces import Finish, fbm, mix

__all__ = ['Backdrop', 'Light', 'backdrop', 'orthogonal', 'shade']

wp.set_module_options({'enable_backward': False, 'fast_math': True, 'optimization_level': 3})

_kind = {name: wp.constant(index) for index, name in enumerate(KINDS)}
SKIN, CLOTH, LEATHER, HAIR = _kind['skin'], _kind['cloth'], _kind['leather'], _kind['hair']
EYE, TEETH, WET, GLOSSY, METAL = _kind['eye'], _kind['teeth'], _kind['wet'], _kind['glossy'], _kind['metal']


@wp.struct
class Light:
    sun: wp.vec3  # unit, towards the light
    sun_color: wp.vec3
    spread: wp.float32  # radius of the light, radians
    fill: wp.vec3
    fill_color: wp.vec3
    sky: wp.vec3  # ambient light from above and below
    ground: wp.vec3
    around: wp.array(dtype=wp.vec3)  # (9,) spherical harmonics of the ambient light instead; or empty


@wp.struct
class Backdrop:
    picture: wp.array2d(dtype=wp.vec3)  # (H, W) linear RGB, or (1, 1)
    has_picture: wp.int32
    horizon: wp.vec3  # colors of the sky where nothing is hit
    zenith: wp.vec3
    seed: wp.int32


@wp.func
def orthogonal(n: wp.vec3):
    if wp.abs(n[2]) < 0.9:
        return wp.normalize(wp.cross(n, wp.vec3(0.0, 0.0, 1.0)))
    return wp.normalize(wp.cross(n, wp.vec3(1.0, 0.0, 0.0)))


@wp.func
def ambient_light(light: Light, n: wp.vec3):
    if light.around.shape[0] == 0:
        return mix(light.ground, light.sky, 0.5 + 0.5 * n[2])
    a = light.around
    out = a[0] * 0.282095 + (a[1] * n[1] + a[2] * n[2] + a[3] * n[0]) * 0.488603
    out += (a[4] * (n[0] * n[1]) + a[5] * (n[1] * n[2]) + a[7] * (n[0] * n[2])) * 1.092548
    out += a[6] * (0.315392 * (3.0 * n[2] * n[2] - 1.0)) + a[8] * (0.546274 * (n[0] * n[0] - n[1] * n[1]))
    return wp.vec3(wp.max(out[0], 0.0), wp.max(out[1], 0.0), wp.max(out[2], 0.0))


@wp.func
def shade(
    light: Light,
    m: Finish,
    d: wp.vec3,
    albedo: wp.vec3,
    n: wp.vec3,
    shadow: float,
    open_fraction: float,
):
    """Return the light that leaves towards the viewer. ``shadow`` 1 = lit; ``open_fraction`` 1 = no ambient occlusion."""
    kind = m.kind
    gloss = m.gloss
    cosine = wp.dot(n, light.sun)
    direct = wp.vec3(wp.max(cosine, 0.0), wp.max(cosine, 0.0), wp.max(cosine, 0.0))
    if kind == SKIN or kind == WET:
        # Subsurface scattering: the shadow border on skin is soft, mostly in red.
        direct = wp.vec3(
            wp.max(cosine + 0.30, 0.0) / 1.30, wp.max(cosine + 0.14, 0.0) / 1.14, wp.max(cosine + 0.08, 0.0) / 1.08
        )
    if kind == CLOTH:
        soft = wp.max(cosine + 0.12, 0.0) / 1.12
        direct = wp.vec3(soft, soft, soft)
    arriving = wp.cw_mul(light.sun_color, direct) * shadow
    ambient = ambient_light(light, n)
    arriving += (ambient + light.fill_color * wp.max(wp.dot(n, light.fill), 0.0)) * open_fraction
    color = wp.cw_mul(albedo, arriving)
    half = wp.normalize(light.sun - d)
    graze = 1.0 - wp.clamp(-wp.dot(n, d), 0.0, 1.0)
    fresnel = graze * graze * graze * graze
    power = float(12.0)
    strength = gloss * 0.25
    if kind == SKIN:
        power = 26.0
        strength = 0.12 * gloss
    if kind == EYE:
        power = 350.0
        strength = 3.0
    if kind == TEETH or kind == WET:
        power = 90.0
        strength = 0.6
    if kind == GLOSSY or kind == LEATHER:
        power = 60.0
        strength = gloss * 0.7
    if kind == METAL:
        power = 40.0
        strength = 1.2 * gloss
    if kind == HAIR:
        power = 18.0
        strength = 0.35 * gloss
    lobe = float(0.0)
    if strength > 0.0 and cosine > 0.0:
        lobe = wp.pow(wp.max(wp.dot(n, half), 0.0), power) * strength * cosine
    tint = wp.vec3(1.0, 1.0, 1.0)
    if kind == METAL or kind == HAIR:
        tint = albedo * 1.5 + wp.vec3(0.1, 0.1, 0.1)
    color += wp.cw_mul(wp.cw_mul(light.sun_color, tint), wp.vec3(lobe, lobe, lobe)) * shadow
    sheen = fresnel * open_fraction * (0.06 + 0.3 * gloss)
    color += wp.cw_mul(ambient, tint) * sheen
    return color


@wp.func
def backdrop(behind: Backdrop, d: wp.vec3, x: int, y: int):
    """Return the background color where no surface is hit."""
    if behind.has_picture == 1:
        return behind.picture[y, x]
    t = wp.clamp(d[2] * 2.2 + 0.05, 0.0, 1.0)
    sky = mix(behind.horizon, behind.zenith, wp.sqrt(t))
    cloud = float(0.0)
    if d[2] > 0.0:
        seed = float(behind.seed % 1024)
        p = wp.vec3(d[0], d[1], d[2] * 3.0) * (3.0 / wp.max(d[2] + 0.25, 0.15))
        cloud = wp.clamp(fbm(seed, p) * 1.6, 0.0, 1.0) * wp.clamp(d[2] * 6.0, 0.0, 1.0)
    return mix(sky, wp.vec3(1.0, 1.0, 1.0) * wp.max(sky[2], 0.6), 0.7 * cloud)
