"""The renderer's device code (warp; CPU and CUDA): what a pixel shows and how much light arrives there.

Triangles are drawn into a depth buffer, which says what the centre of each pixel shows: every label and the first colour.
Light visibility is traced on a coarser grid and smoothed within surfaces; pixels on edges are traced with more rays for
colour, albedo and coverage.
"""

# ruff: noqa: RUF046, SIM102, SIM108, UP018 (warp: a cast declares a variable; no "in", no conditional expressions)

import warp as wp

from .shading import Backdrop, Finish, Hit, Light, Paint, albedo_of, backdrop, frac, orthogonal, shade, shading_normal

__all__ = [
    'EMPTY',
    'Backdrop',
    'Finish',
    'Geometry',
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

NOTHING = wp.constant(-1)
EMPTY = wp.constant(wp.uint64(0xFFFFFFFFFFFFFFFF))  # of the depth buffer


# Structures are copied at every call on the CPU, so there are several small ones and functions take what they read.


@wp.struct
class View:
    origin: wp.vec3
    right: wp.vec3
    down: wp.vec3
    forward: wp.vec3
    focal: wp.float32
    cx: wp.float32
    cy: wp.float32
    width: wp.int32
    height: wp.int32


@wp.struct
class Rectangle:
    """A :class:`sapiens.synthetic.render.Plane` on the device."""

    origin: wp.vec3
    u: wp.vec3
    v: wp.vec3
    normal: wp.vec3
    width: wp.float32
    height: wp.float32
    material: wp.int32


@wp.struct
class Geometry:
    mesh: wp.uint64
    points: wp.array(dtype=wp.vec3)  # (V,)
    faces: wp.array(dtype=wp.int32)  # (3F,)
    normals: wp.array(dtype=wp.vec3)  # (V,)
    texture: wp.array(dtype=wp.vec3)  # (V,)
    face_material: wp.array(dtype=wp.int32)  # (F,)
    face_group: wp.array(dtype=wp.int32)  # (F,) what is one smooth surface of one owner
    planes: wp.array(dtype=Rectangle)
    catcher: wp.int32  # code of the plane that only catches shadows, in front of the background picture; 0 for none


@wp.func
def ray_direction(view: View, x: float, y: float):
    """Unit direction through a pixel."""
    return wp.normalize(
        view.forward + view.right * ((x - view.cx) / view.focal) + view.down * ((y - view.cy) / view.focal)
    )


@wp.func
def hit_planes(g: Geometry, o: wp.vec3, d: wp.vec3):
    hit = Hit()
    hit.t = float(1.0e6)
    hit.code = NOTHING
    hit.material = int(-1)
    hit.group = int(-1)
    for i in range(g.planes.shape[0]):
        plane = g.planes[i]
        slope = wp.dot(plane.normal, d)
        reach = wp.dot(plane.normal, plane.origin - o)
        if reach * slope > 0.0 and wp.abs(reach) < hit.t * wp.abs(slope):
            t = reach / slope
            if t > 1.0e-3:
                local = o + d * t - plane.origin
                a = wp.dot(local, plane.u)
                b = wp.dot(local, plane.v)
                if a >= 0.0 and b >= 0.0 and a <= plane.width and b <= plane.height:
                    hit.t = t
                    hit.code = -2 - i
                    hit.material = plane.material
                    hit.group = -2 - i
                    hit.normal = plane.normal
                    hit.texture = wp.vec3(a, b, 0.0)
    if wp.dot(hit.normal, d) > 0.0:
        hit.normal = -hit.normal
    hit.true_normal = hit.normal
    return hit


@wp.func
def on_face(g: Geometry, d: wp.vec3, face: int, t: float, a: float, b: float, geometric: wp.vec3):
    """What is at a point of a triangle; a and b weigh its first two corners."""
    hit = Hit()
    i0 = g.faces[3 * face]
    i1 = g.faces[3 * face + 1]
    i2 = g.faces[3 * face + 2]
    c = 1.0 - a - b
    n = wp.normalize(g.normals[i0] * a + g.normals[i1] * b + g.normals[i2] * c)
    if wp.dot(geometric, d) > 0.0:
        n = -n
    # Towards the viewer: an interpolated normal may look away near the outline.
    slope = wp.dot(n, d)
    if slope > -0.02:
        n = wp.normalize(n - d * (slope + 0.02))
    hit.t = t
    hit.code = face
    hit.material = g.face_material[face]
    hit.group = g.face_group[face]
    hit.normal = n
    hit.texture = g.texture[i0] * a + g.texture[i1] * b + g.texture[i2] * c
    return hit


@wp.func
def rounding(g: Geometry, d: wp.vec3, face: int, p: wp.vec3, a: float, b: float, n: wp.vec3, trust: float):
    """How much farther along the ray the round surface lies that the triangle stands for.

    Phong tessellation (Boubekeur and Alexa 2008), three quarters of the mean of the point's projections on the planes of the
    corners: depth is then nearly as smooth as the normals are. Nothing changes where normals are not those of the triangle.
    """
    i0 = g.faces[3 * face]
    i1 = g.faces[3 * face + 1]
    i2 = g.faces[3 * face + 2]
    h = wp.dot(p - g.points[i0], g.normals[i0]) * a * wp.dot(g.normals[i0], n)
    h += wp.dot(p - g.points[i1], g.normals[i1]) * b * wp.dot(g.normals[i1], n)
    h += wp.dot(p - g.points[i2], g.normals[i2]) * (1.0 - a - b) * wp.dot(g.normals[i2], n)
    return wp.clamp(-0.75 * trust * h / wp.min(wp.dot(n, d), -0.15), -0.01, 0.01)


@wp.func
def trace(g: Geometry, o: wp.vec3, d: wp.vec3):
    hit = hit_planes(g, o, d)
    query = wp.mesh_query_ray(g.mesh, o, d, hit.t)
    if query.result:
        hit = on_face(g, d, query.face, query.t, query.u, query.v, query.normal)
    return hit


@wp.func
def hit_face(g: Geometry, o: wp.vec3, d: wp.vec3, face: int):
    """Where a ray that is known to meet a triangle does so (Moeller and Trumbore), with :func:`rounding`."""
    v0 = g.points[g.faces[3 * face]]
    e1 = g.points[g.faces[3 * face + 1]] - v0
    e2 = g.points[g.faces[3 * face + 2]] - v0
    p = wp.cross(d, e2)
    det = wp.dot(e1, p)
    if wp.abs(det) < 1.0e-20:
        det = 1.0e-20
    s = o - v0
    b = wp.clamp(wp.dot(s, p) / det, 0.0, 1.0)
    q = wp.cross(s, e1)
    c = wp.clamp(wp.dot(d, q) / det, 0.0, 1.0 - b)
    t = wp.dot(e2, q) / det
    a = 1.0 - b - c
    flat = wp.normalize(wp.cross(e1, e2))
    hit = on_face(g, d, face, t, a, b, flat)
    if wp.dot(flat, d) > 0.0:
        flat = -flat
    # Where the two normals differ much, the smooth one is for show (strips of hair), and labels take the triangle's.
    trust = wp.clamp((wp.dot(flat, hit.normal) - 0.85) * 10.0, 0.0, 1.0)
    hit.true_normal = wp.normalize(hit.normal * trust + flat * (1.0 - trust))
    hit.rounding = rounding(g, d, face, o + d * t, a, b, hit.normal, trust)
    return hit


@wp.kernel
def raster_kernel(
    view: View,
    points: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    nearest: wp.array2d(dtype=wp.uint64),
):
    """What the centre of each pixel shows, one triangle at a time: depth in the upper 32 bits, triangle in the lower.

    Homogeneous edge functions (Olano and Greer 1997) need no clipping; they are in double precision, because far cameras see
    small triangles.
    """
    face = wp.tid()
    x0, x1 = float(1.0e9), float(-1.0e9)
    y0, y1 = float(1.0e9), float(-1.0e9)
    behind = int(0)
    px = wp.vec3d()
    py = wp.vec3d()
    pz = wp.vec3d()
    for k in range(3):
        q = points[faces[3 * face + k]] - view.origin
        z = wp.dot(q, view.forward)
        px[k] = wp.float64(wp.dot(q, view.right) * view.focal + view.cx * z)
        py[k] = wp.float64(wp.dot(q, view.down) * view.focal + view.cy * z)
        pz[k] = wp.float64(z)
        if z < 0.02:
            behind += 1
        else:
            sx = wp.dot(q, view.right) / z * view.focal + view.cx
            sy = wp.dot(q, view.down) / z * view.focal + view.cy
            x0 = wp.min(x0, sx)
            x1 = wp.max(x1, sx)
            y0 = wp.min(y0, sy)
            y1 = wp.max(y1, sy)
    if behind == 3:
        return
    if behind > 0:  # passes through the camera's plane: its picture may be anywhere
        x0, x1, y0, y1 = -1.0, float(view.width), -1.0, float(view.height)
    left = int(wp.ceil(wp.max(x0, 0.0)))
    right = int(wp.floor(wp.min(x1, float(view.width - 1))))
    top = int(wp.ceil(wp.max(y0, 0.0)))
    bottom = int(wp.floor(wp.min(y1, float(view.height - 1))))
    if left > right or top > bottom:
        return
    zero = wp.float64(0.0)
    # Edge i: value at (x, y, 1) is a[i] x + b[i] y + c[i]; it vanishes on the side opposite of corner i.
    a = wp.vec3d(py[1] * pz[2] - pz[1] * py[2], py[2] * pz[0] - pz[2] * py[0], py[0] * pz[1] - pz[0] * py[1])
    b = wp.vec3d(pz[1] * px[2] - px[1] * pz[2], pz[2] * px[0] - px[2] * pz[0], pz[0] * px[1] - px[0] * pz[1])
    c = wp.vec3d(px[1] * py[2] - py[1] * px[2], px[2] * py[0] - py[2] * px[0], px[0] * py[1] - py[0] * px[1])
    det = px[0] * a[0] + py[0] * b[0] + pz[0] * c[0]
    if det == zero:
        return
    if det < zero:
        a = -a
        b = -b
        c = -c
        det = -det
    sum_a = a[0] + a[1] + a[2]
    sum_b = b[0] + b[1] + b[2]
    sum_c = c[0] + c[1] + c[2]
    for y in range(top, bottom + 1):
        fy = wp.float64(y)
        r0 = b[0] * fy + c[0]
        r1 = b[1] * fy + c[1]
        r2 = b[2] * fy + c[2]
        rs = sum_b * fy + sum_c
        for x in range(left, right + 1):
            fx = wp.float64(x)
            if a[0] * fx + r0 >= zero and a[1] * fx + r1 >= zero and a[2] * fx + r2 >= zero:
                total = sum_a * fx + rs
                if total > zero:
                    near = wp.float32(det / total)
                    if near > 0.02:
                        key = (wp.uint64(wp.cast(near, wp.uint32)) << wp.uint64(32)) | wp.uint64(face)
                        wp.atomic_min(nearest, y, x, key)


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
    rays: int,
    reach: float,
    distance: wp.array2d(dtype=wp.float32),
    group: wp.array2d(dtype=wp.int32),
    normal: wp.array2d(dtype=wp.vec3),
    visible: wp.array2d(dtype=wp.vec2),
):
    """Share of the sun and of the surroundings that reaches every ``step``-th pixel."""
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
        # Neighbours share a turned pattern, so that the smoothing that follows averages a regular sample.
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
        free = float(0.0)
        t3 = orthogonal(n)
        t4 = wp.cross(n, t3)
        for k in range(rays):
            a2 = 6.2832 * frac(cell * 0.618 + (float(k) + 0.3 * wp.randf(state)) / float(rays))
            z = frac((cell + 0.5) / 25.0 + float(k) * 0.382)
            r2 = wp.sqrt(z)
            up = wp.sqrt(1.0 - z)
            direction2 = wp.normalize(t3 * (r2 * wp.cos(a2)) + t4 * (r2 * wp.sin(a2)) + n * (up + 0.02))
            hit = wp.mesh_query_ray(mesh, point, direction2, reach)
            if hit.result:
                free += 0.25 + 0.5 * (hit.t / reach)  # light comes back from what is close, too
            else:
                free += 1.0
        out = wp.vec2(lit, free / float(rays))
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
    """Mean of the 5 x 5 coarse values around each that belong to the same piece of surface."""
    j0, i0 = wp.tid()
    rows = visible.shape[0]
    columns = visible.shape[1]
    y = wp.min(j0 * step + step // 2, distance.shape[0] - 1)
    x = wp.min(i0 * step + step // 2, distance.shape[1] - 1)
    centre = visible[j0, i0]
    out = centre
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
    """Coarse values interpolated at a pixel, without those of other pieces of surface."""
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
    if around[0] + around[1] > 7.999:  # nothing in the way: most of the picture
        return wp.vec2(1.0, 1.0)
    total = wp.vec2(0.0, 0.0)
    weights = float(0.0)
    for dj in range(2):
        for di in range(2):
            j = wp.clamp(j0 + dj, 0, visible.shape[0] - 1)
            i = wp.clamp(i0 + di, 0, visible.shape[1] - 1)
            yy = wp.min(j * step + step // 2, distance.shape[0] - 1)
            xx = wp.min(i * step + step // 2, distance.shape[1] - 1)
            wy = ty
            wx = tx
            if dj == 0:
                wy = 1.0 - ty
            if di == 0:
                wx = 1.0 - tx
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
            color[y, x] = backdrop(behind, d, x, y) * ((0.45 + 0.55 * free[0]) * (0.3 + 0.7 * free[1]))
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
    pixels: wp.array(dtype=wp.int32),
    face_person: wp.array(dtype=wp.int32),
    group: wp.array2d(dtype=wp.int32),
    distance: wp.array2d(dtype=wp.float32),
    normal: wp.array2d(dtype=wp.vec3),
    visible: wp.array2d(dtype=wp.vec2),
    color: wp.array2d(dtype=wp.vec3),
    albedo: wp.array2d(dtype=wp.vec3),
    alpha: wp.array2d(dtype=wp.float32),
):
    """The mean of a pixel's centre, which is known, and ``rays`` more on a circle around it, for the pixels on edges."""
    k = wp.tid()
    y = pixels[k] // view.width
    x = pixels[k] - y * view.width
    total = color[y, x]
    bare = albedo[y, x]
    covered = alpha[y, x]
    for i in range(rays):
        angle = 6.2832 * (float(i) + 0.3) / float(rays)
        dx = 0.4 * wp.cos(angle)
        dy = 0.4 * wp.sin(angle)
        d = ray_direction(view, float(x) + dx, float(y) + dy)
        hit = trace(geometry, view.origin, d)
        if hit.code == NOTHING:
            total += backdrop(behind, d, x, y)
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
                total += backdrop(behind, d, x, y) * ((0.45 + 0.55 * free[0]) * (0.3 + 0.7 * free[1]))
            else:
                m = paint.materials[hit.material]
                c = albedo_of(paint, m, hit, footprint)
                n = shading_normal(m, hit, footprint)
                total += shade(light, m, d, c, n, free[0], free[1])
                bare += c
            if hit.code >= 0:
                if face_person[hit.code] > 0:
                    covered += 1.0
    count = float(rays + 1)
    color[y, x] = total / count
    albedo[y, x] = bare / count
    alpha[y, x] = covered / count
