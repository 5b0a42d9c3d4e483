"""Renderer: surfaces and a camera to an image and its per-pixel labels."""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from sapiens.utils.srgb import decode_srgb
from sapiens.utils.terminal import without_lines

from .body import NO_GPU, import_warp
from .camera import Camera
from .materials import KINDS, PATTERNS, Material
from .mesh import Surface, vertex_normals

__all__ = ['Lighting', 'Plane', 'Rendering', 'make_paint', 'render']

_NO_FACE = (np.full((2, 2, 3), 1e3, np.float32), np.full((2, 3), 1e3, np.float32), 0.0, 0.0)


@dataclass
class Plane:
    """A rectangle ``origin + a u + b v`` with 0 <= a, b <= the extents in meters; u and v are orthogonal unit vectors."""

    origin: tuple
    u: tuple
    v: tuple
    extent: tuple
    material: Material


@dataclass
class Lighting:
    """One light with shadows, one without, and ambient light. Colors are linear RGB, any scale.

    Attributes:
        sun, fill: unit vectors towards the lights, in the world.
        spread: radius of the shadow-casting light in radians; it determines the softness of shadows.
        sky, ground: ambient colors from above and below.
        horizon, zenith: colors of the visible sky.
        around: (9, 3) spherical harmonics of the light of an environment map, instead of ``sky`` and ``ground``, see
            :mod:`sapiens.synthetic.scans.environments`; None for none.
    """

    sun: tuple = (0.4, -0.6, 0.7)
    sun_color: tuple = (2.2, 2.1, 1.9)
    spread: float = 0.06
    fill: tuple = (-0.7, -0.5, 0.3)
    fill_color: tuple = (0.2, 0.2, 0.25)
    sky: tuple = (0.55, 0.6, 0.7)
    ground: tuple = (0.3, 0.27, 0.24)
    horizon: tuple = (0.75, 0.82, 0.9)
    zenith: tuple = (0.25, 0.42, 0.75)
    around: np.ndarray | None = None


@dataclass
class Rendering:
    """Per-pixel arrays (H, W, ...) of one image.

    Attributes:
        color: float32 linear RGB before exposure.
        depth: float32 meters along z; 0 for the sky and the background image.
        normal: float32 unit vectors in the camera frame; zeros where depth is 0.
        albedo: float32 linear RGB; zeros where depth is 0.
        alpha: float32 fraction covered by people.
        front: float32 linear RGB of people alone, times alpha; ``color - front`` is what is behind them.
        part, lip, region, instance: uint8 labels at the center of the pixel.
    """

    color: np.ndarray
    depth: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    alpha: np.ndarray
    front: np.ndarray
    part: np.ndarray
    lip: np.ndarray
    region: np.ndarray
    instance: np.ndarray


def render(
    people: list[list[Surface]],
    things: list[Surface],
    planes: list[Plane],
    camera: Camera,
    lighting: Lighting,
    background: np.ndarray | None = None,
    face: tuple | None = None,
    seed: int = 0,
    rays: int = 3,
    hair_rays: int | None = None,
    device: str = 'cpu',
) -> Rendering:
    """Render an image.

    Args:
        people: surfaces of each person; person i has instance i + 1.
        things: surfaces of all other objects.
        planes: floor and walls. With a ``background``, the first plane only receives shadows and the others are not drawn.
        camera, lighting: see :class:`.camera.Camera` and :class:`Lighting`.
        background: (H, W, 3) float32 linear RGB behind all surfaces.
        face: paint of faces in the frame of the template: (brow lines (2, N, 3), iris centers (2, 3), iris radius, pupil
            radius), see :mod:`sapiens.synthetic.keypoints`.
        seed: seed of the random shading.
        rays: additional rays for each pixel on an edge; 0 for hard edges.
        hair_rays: those on and next to edges of hair, whose strands are thinner than a pixel; None for as many as elsewhere.
        device: 'cpu' (one core) or 'cuda'.
    """
    import warp as wp

    kernels = _kernels()
    owners = [(index + 1, surface) for index, surfaces in enumerate(people) for surface in surfaces]
    owners += [(0, surface) for surface in things]
    mesh = _flatten(owners)
    height, width = camera.height, camera.width
    materials = list(mesh['materials'])
    if background is not None:
        planes = planes[:1]
    rows = [(p.origin, p.u, p.v, np.cross(p.u, p.v), *p.extent, len(materials) + i) for i, p in enumerate(planes)]
    materials += [p.material for p in planes]

    with wp.ScopedDevice(device):
        wp_mesh = wp.Mesh(
            points=wp.array(mesh['vertices'], dtype=wp.vec3), indices=wp.array(mesh['faces'].ravel(), dtype=wp.int32)
        )
        geometry = kernels.Geometry()
        geometry.mesh = wp_mesh.id
        geometry.points, geometry.faces = wp_mesh.points, wp_mesh.indices
        geometry.normals = wp.array(mesh['normals'], dtype=wp.vec3)
        geometry.texture = wp.array(mesh['texture'], dtype=wp.vec3)
        geometry.face_material = wp.array(mesh['face_material'], dtype=wp.int32)
        geometry.face_group = wp.array(mesh['face_group'], dtype=wp.int32)
        geometry.planes = _structs(kernels.Rectangle, rows)
        geometry.catcher = -2 if background is not None and planes else 0
        paint = make_paint(materials, face)
        view = kernels.View()
        view.origin = wp.vec3(*camera.position)
        view.right, view.down, view.forward = (wp.vec3(*row) for row in camera.rotation)
        view.focal, view.focal_y = (float(focal) for focal in np.diag(camera.intrinsics)[:2])
        view.cx, view.cy = (float(center) for center in camera.intrinsics[:2, 2])
        view.width, view.height = width, height
        light, behind = kernels.Light(), kernels.Backdrop()
        for target, name, value in (
            (light, 'sun', _unit(lighting.sun)), (light, 'sun_color', lighting.sun_color),
            (light, 'fill', _unit(lighting.fill)), (light, 'fill_color', lighting.fill_color),
            (light, 'sky', lighting.sky), (light, 'ground', lighting.ground),
            (behind, 'horizon', lighting.horizon), (behind, 'zenith', lighting.zenith),
        ):  # fmt: skip
            setattr(target, name, wp.vec3(*(float(v) for v in value)))
        light.spread = lighting.spread
        around = np.zeros((0, 3)) if lighting.around is None else lighting.around
        light.around = wp.array(np.ascontiguousarray(around, np.float32), dtype=wp.vec3)
        picture = (
            np.zeros((1, 1, 3), np.float32) if background is None else np.ascontiguousarray(background, np.float32)
        )
        behind.picture = wp.array(picture, dtype=wp.vec3)
        behind.has_picture = int(background is not None)
        behind.seed = seed & 0x7FFFFFFF

        size = (height, width)
        code, group = (wp.empty(size, dtype=wp.int32) for _ in range(2))
        distance, depth = (wp.empty(size, dtype=wp.float32) for _ in range(2))
        normal, tilted, albedo, color = (wp.empty(size, dtype=wp.vec3) for _ in range(4))
        seen = [code, group, distance, depth, normal, tilted, albedo]
        nearest = wp.full(size, kernels.EMPTY, dtype=wp.uint64)
        wp.launch(kernels.raster_kernel, len(mesh['faces']), [view, geometry.points, geometry.faces, nearest])
        wp.launch(kernels.primary_kernel, size, [view, geometry, paint, nearest, *seen])
        step = 3 if max(size) >= 800 else 2
        coarse = ((height + step - 1) // step, (width + step - 1) // step)
        visible, smooth = (wp.empty(coarse, dtype=wp.vec2) for _ in range(2))
        at = [distance, group, normal]
        wp.launch(kernels.light_kernel, coarse, [view, light, wp_mesh.id, behind.seed, step, 0.45, *at, visible])
        wp.launch(kernels.smooth_kernel, coarse, [step, *at, visible, smooth])
        shaded = [code, group, distance, normal, tilted, albedo, smooth, color]
        wp.launch(kernels.shade_kernel, size, [view, geometry, paint.materials, light, behind, step, *shaded])

        codes = code.numpy()
        hit = codes >= 0
        face = np.where(hit, codes, 0)
        labels = {
            name: np.where(hit, mesh[name][face], 0).astype(np.uint8) for name in ('part', 'lip', 'region', 'instance')
        }
        person = labels['instance'] > 0
        alpha = wp.array(person.astype(np.float32), dtype=wp.float32)
        front = wp.array(np.where(person[..., None], color.numpy(), np.float32(0)), dtype=wp.vec3)
        material = np.where(hit, mesh['face_material'][face], -1)
        edges = _edges(codes, group.numpy(), depth.numpy(), material)
        owner = wp.array(mesh['instance'], dtype=wp.int32)
        batches = [(edges, rays, 0)]
        if hair_rays is not None:
            is_hair = np.array([m.kind == 'hair' for m in mesh['materials']])[material] & (material >= 0)
            hair = _near_hair(edges, is_hair)
            batches = [(np.setdiff1d(edges, hair, assume_unique=True), rays, 0), (hair, hair_rays, 1)]
        for pixels, count, spread in batches:
            if len(pixels) and count:
                places = wp.array(pixels.astype(np.int32), dtype=wp.int32)
                scene = [view, geometry, paint, light, behind, step, count, spread, places, owner]
                target = [group, distance, normal, smooth, color, albedo, alpha, front]
                wp.launch(kernels.edge_kernel, len(pixels), [*scene, *target])
        out = {name: array.numpy() for name, array in dict(
            color=color, depth=depth, normal=normal, albedo=albedo, alpha=alpha, front=front).items()}  # fmt: skip
    if background is not None:
        unknown = codes < 0
        for name in ('depth', 'normal', 'albedo'):
            out[name][unknown] = 0
    return Rendering(**out, **labels)


@functools.cache
def _kernels():
    """Import the device code late: warp is an optional dependency and takes a second to import."""
    with without_lines(NO_GPU):
        import_warp().init()
    from . import kernels

    return kernels


def _unit(vector) -> np.ndarray:
    vector = np.asarray(vector, np.float64)
    return vector / np.linalg.norm(vector)


def _material_row(m: Material) -> tuple:
    kind, pattern = KINDS.index(m.kind), PATTERNS.index(m.pattern)
    return (kind, pattern, m.color, m.color2, m.color3, m.scale, m.gloss, m.bump, m.seed, m.stubble)


def make_paint(materials: list[Material], face: tuple | None = None):
    """The materials on the device, with their images. See :func:`render` for ``face``."""
    import warp as wp

    kernels = _kernels()
    paint = kernels.Paint()
    rows, levels, pixels = _images(materials)
    paint.materials = _structs(
        kernels.Finish, [(*_material_row(m), *row) for m, row in zip(materials, rows, strict=True)]
    )
    paint.levels = _structs(kernels.Level, levels)
    paint.pixels = wp.array(pixels, dtype=wp.uint32, copy=False)
    paint.linear = wp.array(decode_srgb(np.arange(256) / 255).astype(np.float32), dtype=wp.float32)
    brows, iris, paint.iris_radius, paint.pupil_radius = face or _NO_FACE
    paint.brows = wp.array(brows.reshape(-1, 3), dtype=wp.vec3)
    paint.iris = wp.array(iris, dtype=wp.vec3)
    return paint


def _images(materials: list) -> tuple[list, list, np.ndarray]:
    """Join the images of materials: (first level, number of levels) of each material, rows of all levels, and their pixels."""
    rows, levels, pixels, places, start = [], [], [], {}, 0
    for image in (material.image for material in materials):
        if image is not None and id(image) not in places:
            places[id(image)] = len(levels), len(image.levels)
            levels += [(start + place, width, height) for place, width, height in image.levels]
            pixels.append(image.pixels)
            start += len(image.pixels)
        rows.append(places.get(id(image), (0, 0)))
    if len(pixels) == 1:  # without a copy of hundreds of megabytes
        return rows, levels, pixels[0]
    return rows, levels or [(0, 1, 1)], np.concatenate([*pixels, np.zeros(1, np.uint32)])


def _structs(struct, rows: list):
    """Make a device array of structures; each row has the fields in order."""
    import warp as wp

    return wp.array(np.array([tuple(row) for row in rows], dtype=struct.numpy_dtype()), dtype=struct)


def _flatten(owners: list) -> dict:
    """Merge all surfaces into one mesh; shared vertex arrays are stored once."""
    vertices, normals, texture, offsets, total = [], [], [], {}, 0
    materials, material_ids = [], {}
    faces = {name: [] for name in ('faces', 'face_material', 'face_group', 'part', 'lip', 'region', 'instance')}
    for owner, surface in owners:
        key = id(surface.vertices), id(surface.texture)
        if key not in offsets:
            offsets[key] = total
            total += len(surface.vertices)
            vertices.append(surface.vertices)
            n = surface.normals
            normals.append(vertex_normals(surface.vertices, surface.faces) if n is None else n)
            texture.append(np.zeros_like(surface.vertices) if surface.texture is None else surface.texture)
        if id(surface.material) not in material_ids:
            material_ids[id(surface.material)] = len(materials)
            materials.append(surface.material)
        count = len(surface.faces)
        faces['faces'].append(surface.faces + offsets[key])
        faces['face_material'].append(np.full(count, material_ids[id(surface.material)], np.int32))
        # Groups of smooth surfaces of one owner: skin, lips and nails share their vertices.
        faces['face_group'].append(np.full(count, offsets[key], np.int32))
        faces['instance'].append(np.full(count, owner, np.int32))
        for name in ('part', 'lip', 'region'):
            faces[name].append(np.broadcast_to(np.asarray(getattr(surface, name), np.uint8), (count,)))
    if not owners:  # a mesh needs a triangle: add one that no ray hits
        far = np.full((3, 3), 1e5, np.float32) + np.eye(3, dtype=np.float32)
        return dict(
            vertices=far, normals=far * 0 + 1, texture=far * 0, materials=[Material()], faces=np.array([[0, 1, 2]], np.int32),
            **{k: np.zeros(1, np.int32) for k in faces if k != 'faces'},
        )  # fmt: skip
    joined = {name: np.concatenate(rows) for name, rows in faces.items()}
    joined['faces'] = np.ascontiguousarray(joined['faces'], np.int32)
    return dict(
        vertices=np.ascontiguousarray(np.concatenate(vertices), np.float32),
        normals=np.ascontiguousarray(np.concatenate(normals), np.float32),
        texture=np.ascontiguousarray(np.concatenate(texture), np.float32),
        materials=materials,
        **joined,
    )


def _edges(code, group, depth, material) -> np.ndarray:
    """Return the indices (y * W + x) of pixels that a border between surfaces, materials or depths may cross."""
    key = group.astype(np.int64) * 4096 + material
    edge = np.zeros(code.shape, bool)
    for axis in (0, 1):
        a = [slice(None), slice(None)]
        b = [slice(None), slice(None)]
        a[axis], b[axis] = slice(1, None), slice(None, -1)
        a, b = tuple(a), tuple(b)
        jump = np.abs(depth[a] - depth[b]) > 0.02 * np.minimum(depth[a], depth[b]) + 0.004
        differs = (key[a] != key[b]) | (jump & ((code[a] >= 0) | (code[b] >= 0)))
        edge[a] |= differs
        edge[b] |= differs
    return np.flatnonzero(edge).astype(np.int32)


def _near_hair(edges: np.ndarray, is_hair: np.ndarray) -> np.ndarray:
    """Indices (y * W + x) of pixels on edges of hair, and of their neighbors, where strands may pass between the centers.

    Args:
        edges: of :func:`_edges`.
        is_hair: (H, W) bool.
    """
    square = np.ones((3, 3), np.uint8)
    on_edge = np.zeros(is_hair.shape, np.uint8)
    on_edge.flat[edges] = 1
    near = cv2.dilate(on_edge & cv2.dilate(is_hair.astype(np.uint8), square), square)
    return np.flatnonzero(near).astype(np.int32)
