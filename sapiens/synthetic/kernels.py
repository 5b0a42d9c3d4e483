"""Device code of the renderer (warp; CPU and CUDA): visible surface and light of each pixel.

Triangles are drawn into a depth buffer, which gives the visible surface at the center of each pixel: all labels and the first
color. Light visibility is traced on a coarser grid and smoothed within surfaces. Pixels on edges get more rays for color,
albedo, coverage and the color of people alone.
"""

# ruff: noqa: RUF046, SIM102, SIM108, UP018 (warp: a cast declares a variable; no "in", no conditional expressions)

import warp as wp

from .shading import Backdrop, Light, backdrop, orthogonal, shade
from .surfaces import Finish, Level, Paint, albedo_of, frac, shading_normal
from .tracing import (
    EMPTY,
    NOTHING,
    Geometry,
    Rectangle,
    View,
    hit_face,
    hit_planes,
    raster_kernel,
    ray_direction,
    trace,
)

__all__ = [
    'EMPTY',
    'Backdrop',
    'Finish',
    'Geometry',
    'Level',
    'Light',
    'Paint',
    'Rectangle',
    'View',
    'edge_kernel',
    'light_kernel',
    'primary_kernel',
    'raster_kernel',
    'shade_kernel',
    'smooth_kernel',
]

wp.set_module_options({'enable_backward': False, 'fast_math': True, 'optimization_level': 3})


@wp.kernel
def primary_kernel(
    view: View,
    geometry: Geometry,
    paint: Paint,
    nearest: wp.array2d(dtype=wp.uint64),
    code: wp.array2d(dtype=wp.int32),
    group: wp.array2d(dtype=wp.int32),
    distance: wp.array2d(dtype=wp.float32),
    depth: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.vec3),
    tilted: wp.array2d(dtype=wp.vec3),
    albedo: wp.array2d(dtype=wp.vec3),
):
    y, x = wp.tid()
    d = ray_direction(view, float(x), float(y))
    hit = hit_planes(geometry, view.origin, d)
    key = nearest[y, x]
    if key != EMPTY:
        z = wp.cast(wp.uint32(key >> wp.uint64(32)), wp.float32)
        if z < hit.t * wp.dot(d, view.forward):
            hit = hit_face(geometry, view.origin, d, int(key & wp.uint64(0xFFFFFFFF)))
    code[y, x] = hit.code
    group[y, x] = hit.group
    distance[y, x] = hit.t
    if hit.code == NOTHING:
        depth[y, x] = 0.0
        normal[y, x] = wp.vec3(0.0, 0.0, 0.0)
        tilted[y, x] = wp.vec3(0.0, 0.0, 0.0)
        albedo[y, x] = wp.vec3(0.0, 0.0, 0.0)
    else:
        slant = wp.max(-wp.dot(hit.normal, d), 0.15)
        footprint = hit.t / (view.focal * slant)
        n = hit.true_normal
        depth[y, x] = (hit.t + hit.rounding) * wp.dot(d, view.forward)
        normal[y, x] = wp.vec3(wp.dot(n, view.right), wp.dot(n, view.down), wp.dot(n, view.forward))
        m = paint.materials[hit.material]
        tilted[y, x] = shading_normal(m, hit, footprint)
        albedo[y, x] = albedo_of(paint, m, hit, footprint)


@wp.kernel
def light_kernel(
    view: View,
    light: Light,
    mesh: wp.uint64,
    seed: int,
    step: int,
    reach: float,
    distance: wp.array2d(dtype=wp.float32),
    group: wp.array2d(dtype=wp.int32),
    normal: wp.array2d(dtype=wp.vec3),
    visible: wp.array2d(dtype=wp.vec2),
):
    """Compute the fraction of sun and ambient light at every ``step``-th pixel, with one ray for each.

    ``reach``: maximum distance in meters of ambient occlusion.
    """
    j, i = wp.tid()
    y = wp.min(j * step + step // 2, view.height - 1)
    x = wp.min(i * step + step // 2, view.width - 1)
    out = wp.vec2(1.0, 1.0)
    if group[y, x] != NOTHING:
        d = ray_direction(view, float(x), float(y))
        c = normal[y, x]
        n = view.right * c[0] + view.down * c[1] + view.forward * c[2]
        point = view.origin + d * distance[y, x] + n * 0.004
        state = wp.rand_init(seed, j * 4096 + i)
        # Neighbors use rotated copies of one pattern, so that the smoothing averages a regular sample.
        cell = float(((j % 5) * 5 + (i % 5)) * 7 % 25)
        lit = float(1.0)
        cosine = wp.dot(n, light.sun)
        if cosine < -0.3:
            lit = 0.0
        else:
            a = 6.2832 * (cell / 25.0 + 0.04 * wp.randf(state))
            r = light.spread * wp.sqrt((frac(cell * 0.618) + 0.04 * wp.randf(state)) / 1.04)
            t1 = orthogonal(light.sun)
            t2 = wp.cross(light.sun, t1)
            direction = wp.normalize(light.sun + t1 * (r * wp.cos(a)) + t2 * (r * wp.sin(a)))
            if wp.mesh_query_ray_anyhit(mesh, point + n * 0.006, direction, 20.0):
                lit = 0.0
        t3 = orthogonal(n)
        t4 = wp.cross(n, t3)
        b = 6.2832 * (frac(cell * 0.618) + 0.3 * wp.randf(state))
        z = (cell + 0.5) / 25.0
        outwards = t3 * (wp.sqrt(z) * wp.cos(b)) + t4 * (wp.sqrt(z) * wp.sin(b)) + n * (wp.sqrt(1.0 - z) + 0.02)
        free = float(1.0)
        hit = wp.mesh_query_ray(mesh, point, wp.normalize(outwards), reach)
        if hit.result:
            free = 0.25 + 0.5 * (hit.t / reach)  # close surfaces reflect light too
        out = wp.vec2(lit, free)
    visible[j, i] = out


@wp.kernel
def smooth_kernel(
    step: int,
    distance: wp.array2d(dtype=wp.float32),
    group: wp.array2d(dtype=wp.int32),
    normal: wp.array2d(dtype=wp.vec3),
    visible: wp.array2d(dtype=wp.vec2),
    smooth: wp.array2d(dtype=wp.vec2),
):
    """Average each coarse value over its 5 x 5 neighbors on the same surface."""
    j0, i0 = wp.tid()
    rows = visible.shape[0]
    columns = visible.shape[1]
    y = wp.min(j0 * step + step // 2, distance.shape[0] - 1)
    x = wp.min(i0 * step + step // 2, distance.shape[1] - 1)
    center = visible[j0, i0]
    out = center
    if group[y, x] != NOTHING:
        own = normal[y, x]
        reach = 0.01 + 0.012 * distance[y, x]
        total = wp.vec2(0.0, 0.0)
        weights = float(0.0)
        for dj in range(5):
            for di in range(5):
                j = j0 + dj - 2
                i = i0 + di - 2
                if j >= 0 and i >= 0 and j < rows and i < columns:
                    yy = wp.min(j * step + step // 2, distance.shape[0] - 1)
                    xx = wp.min(i * step + step // 2, distance.shape[1] - 1)
                    if wp.abs(distance[yy, xx] - distance[y, x]) < reach * 2.0:
                        a = wp.max(wp.dot(normal[yy, xx], own), 0.0)
                        w = a * a * a
                        if group[yy, xx] != group[y, x]:
                            w = 0.1 * w
                        total += visible[j, i] * w
                        weights += w
        if weights > 0.0:
            out = total / weights
    smooth[j0, i0] = out


@wp.func
def gather_light(
    step: int,
    x: float,
    y: float,
    own_group: int,
    own_distance: float,
    own_normal: wp.vec3,
    group: wp.array2d(dtype=wp.int32),
    distance: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.vec3),
    visible: wp.array2d(dtype=wp.vec2),
):
    """Interpolate coarse values at a pixel, without those of other surfaces."""
    fy = (y - float(step // 2)) / float(step)
    fx = (x - float(step // 2)) / float(step)
    j0 = int(wp.floor(fy))
    i0 = int(wp.floor(fx))
    ty = fy - wp.floor(fy)
    tx = fx - wp.floor(fx)
    j1 = wp.clamp(j0, 0, visible.shape[0] - 1)
    j2 = wp.clamp(j0 + 1, 0, visible.shape[0] - 1)
    i1 = wp.clamp(i0, 0, visible.shape[1] - 1)
    i2 = wp.clamp(i0 + 1, 0, visible.shape[1] - 1)
    around = visible[j1, i1] + visible[j1, i2] + visible[j2, i1] + visible[j2, i2]
    if around[0] + around[1] > 7.999:  # no occlusion: most of the image
        return wp.vec2(1.0, 1.0)
    total = wp.vec2(0.0, 0.0)
    weights = float(0.0)
    for dj in range(2):
        for di in range(2):
            j = j2
            i = i2
            wy = ty
            wx = tx
            if dj == 0:
                j = j1
                wy = 1.0 - ty
            if di == 0:
                i = i1
                wx = 1.0 - tx
            yy = wp.min(j * step + step // 2, distance.shape[0] - 1)
            xx = wp.min(i * step + step // 2, distance.shape[1] - 1)
            near = wp.abs(distance[yy, xx] - own_distance)
            near = near / (0.01 + 0.01 * own_distance)
            w = wy * wx / (1.0 + near * near)
            w = w * (0.05 + wp.max(wp.dot(normal[yy, xx], own_normal), 0.0))
            if group[yy, xx] != own_group:
                w = 0.1 * w
            w = w + 1.0e-6
            total += visible[j, i] * w
            weights += w
    return total / weights


@wp.func
def background_shadow(free: wp.vec2):
    """Return the factor on the background image where a shadow falls on it; dark where something stands on it."""
    return (0.45 + 0.55 * free[0]) * (0.1 + 0.9 * free[1] * free[1])


@wp.kernel
def shade_kernel(
    view: View,
    geometry: Geometry,
    materials: wp.array(dtype=Finish),
    light: Light,
    behind: Backdrop,
    step: int,
    code: wp.array2d(dtype=wp.int32),
    group: wp.array2d(dtype=wp.int32),
    distance: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.vec3),
    tilted: wp.array2d(dtype=wp.vec3),
    albedo: wp.array2d(dtype=wp.vec3),
    visible: wp.array2d(dtype=wp.vec2),
    color: wp.array2d(dtype=wp.vec3),
):
    y, x = wp.tid()
    d = ray_direction(view, float(x), float(y))
    if code[y, x] == NOTHING:
        color[y, x] = backdrop(behind, d, x, y)
    else:
        own = code[y, x]
        material = int(0)
        if own >= 0:
            material = geometry.face_material[own]
        else:
            material = geometry.planes[-2 - own].material
        free = gather_light(
            step, float(x), float(y), group[y, x], distance[y, x], normal[y, x], group, distance, normal, visible
        )
        if own == geometry.catcher:
            color[y, x] = backdrop(behind, d, x, y) * background_shadow(free)
        else:
            color[y, x] = shade(light, materials[material], d, albedo[y, x], tilted[y, x], free[0], free[1])


@wp.kernel
def edge_kernel(
    view: View,
    geometry: Geometry,
    paint: Paint,
    light: Light,
    behind: Backdrop,
    step: int,
    rays: int,
    spread: int,
    pixels: wp.array(dtype=wp.int32),
    face_person: wp.array(dtype=wp.int32),
    group: wp.array2d(dtype=wp.int32),
    distance: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.vec3),
    visible: wp.array2d(dtype=wp.vec2),
    color: wp.array2d(dtype=wp.vec3),
    albedo: wp.array2d(dtype=wp.vec3),
    alpha: wp.array2d(dtype=wp.float32),
    front: wp.array2d(dtype=wp.vec3),
):
    """Average the known value at the center of an edge pixel with ``rays`` more: on a circle around it, or with ``spread`` evenly
    over the square of the pixel, by the additive recurrence of the plastic number (Roberts 2018). ``front`` is the light of
    people."""
    k = wp.tid()
    y = pixels[k] // view.width
    x = pixels[k] - y * view.width
    total = color[y, x]
    bare = albedo[y, x]
    covered = alpha[y, x]
    mine = front[y, x]
    for i in range(rays):
        angle = 6.2832 * (float(i) + 0.3) / float(rays)
        dx = 0.4 * wp.cos(angle)
        dy = 0.4 * wp.sin(angle)
        if spread == 1:
            dx = frac(0.5 + 0.75487767 * float(i + 1)) - 0.5
            dy = frac(0.5 + 0.56984029 * float(i + 1)) - 0.5
        here = wp.vec3(0.0, 0.0, 0.0)
        d = ray_direction(view, float(x) + dx, float(y) + dy)
        hit = trace(geometry, view.origin, d)
        if hit.code == NOTHING:
            here = backdrop(behind, d, x, y)
        else:
            slant = wp.max(-wp.dot(hit.normal, d), 0.15)
            footprint = hit.t / (view.focal * slant) * 0.5
            own = wp.vec3(
                wp.dot(hit.normal, view.right),
                wp.dot(hit.normal, view.down),
                wp.dot(hit.normal, view.forward),
            )
            free = gather_light(
                step, float(x) + dx, float(y) + dy, hit.group, hit.t, own, group, distance, normal, visible
            )
            if hit.code == geometry.catcher:
                here = backdrop(behind, d, x, y) * background_shadow(free)
            else:
                m = paint.materials[hit.material]
                c = albedo_of(paint, m, hit, footprint)
                n = shading_normal(m, hit, footprint)
                here = shade(light, m, d, c, n, free[0], free[1])
                bare += c
            if hit.code >= 0:
                if face_person[hit.code] > 0:
                    covered += 1.0
                    mine += here
        total += here
    count = float(rays + 1)
    color[y, x] = total / count
    albedo[y, x] = bare / count
    alpha[y, x] = covered / count
    front[y, x] = mine / count
