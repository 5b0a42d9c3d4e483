"""Ray intersection on the device (warp; CPU and CUDA): planes analytically, triangles by rasterization or tracing."""

# ruff: noqa: RUF046, UP018 (warp: a cast declares a variable; no "in", no conditional expressions)

import warp as wp

from .surfaces import Hit

__all__ = [
    'EMPTY',
    'NOTHING',
    'Geometry',
    'Rectangle',
    'View',
    'hit_face',
    'hit_planes',
    'raster_kernel',
    'ray_direction',
    'trace',
]

wp.set_module_options({'enable_backward': False, 'fast_math': True, 'optimization_level': 3})

NOTHING = wp.constant(-1)
EMPTY = wp.constant(wp.uint64(0xFFFFFFFFFFFFFFFF))  # of the depth buffer


# The CPU copies structures at every call, so there are several small ones, and functions take only those they read.


@wp.struct
class View:
    origin: wp.vec3
    right: wp.vec3
    down: wp.vec3
    forward: wp.vec3
    focal: wp.float32  # along x
    focal_y: wp.float32
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
    face_group: wp.array(dtype=wp.int32)  # (F,) index of the smooth surface
    planes: wp.array(dtype=Rectangle)
    catcher: wp.int32  # code of the plane that only receives shadows, in front of the background image; 0 for none


@wp.func
def ray_direction(view: View, x: float, y: float):
    """Return the unit direction through a pixel."""
    return wp.normalize(
        view.forward + view.right * ((x - view.cx) / view.focal) + view.down * ((y - view.cy) / view.focal_y)
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
    """Return the hit at a point of a triangle; a and b are the weights of its first two corners."""
    hit = Hit()
    i0 = g.faces[3 * face]
    i1 = g.faces[3 * face + 1]
    i2 = g.faces[3 * face + 2]
    c = 1.0 - a - b
    n = wp.normalize(g.normals[i0] * a + g.normals[i1] * b + g.normals[i2] * c)
    if wp.dot(geometric, d) > 0.0:
        n = -n
    # Flip towards the viewer: an interpolated normal may face away near the outline.
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
    """Return the distance along the ray from the triangle to the round surface that it approximates.

    Phong tessellation (Boubekeur and Alexa 2008): three quarters of the mean of the projections of the point on the planes of
    the corners. It makes depth nearly as smooth as the normals. Nothing changes if normals differ much from the triangle's.
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
    """Return the hit of a ray on a triangle that it is known to meet (Moeller and Trumbore), with :func:`rounding`."""
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
    # If the two normals differ much, the smooth one is for shading only (strips of hair), and labels use the triangle's.
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
    """Draw one triangle into the depth buffer: depth in the upper 32 bits, index of the triangle in the lower.

    Homogeneous edge functions (Olano and Greer 1997) need no clipping. They use double precision because triangles are small
    for distant cameras.
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
        py[k] = wp.float64(wp.dot(q, view.down) * view.focal_y + view.cy * z)
        pz[k] = wp.float64(z)
        if z < 0.02:
            behind += 1
        else:
            sx = wp.dot(q, view.right) / z * view.focal + view.cx
            sy = wp.dot(q, view.down) / z * view.focal_y + view.cy
            x0 = wp.min(x0, sx)
            x1 = wp.max(x1, sx)
            y0 = wp.min(y0, sy)
            y1 = wp.max(y1, sy)
    if behind == 3:
        return
    if behind > 0:  # crosses the plane of the camera: its projection may be anywhere
        x0, x1, y0, y1 = -1.0, float(view.width), -1.0, float(view.height)
    left = int(wp.ceil(wp.max(x0, 0.0)))
    right = int(wp.floor(wp.min(x1, float(view.width - 1))))
    top = int(wp.ceil(wp.max(y0, 0.0)))
    bottom = int(wp.floor(wp.min(y1, float(view.height - 1))))
    if left > right or top > bottom:
        return
    zero = wp.float64(0.0)
    # Edge i: the value at (x, y, 1) is a[i] x + b[i] y + c[i]; it is zero on the side opposite of corner i.
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
