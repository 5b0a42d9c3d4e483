"""Device code that paints the colors of a mesh into an image (warp), see :mod:`.baking`."""

import warp as wp

from ..surfaces import Hit, Paint, albedo_of

__all__ = ['bake_kernel']

wp.set_module_options({'enable_backward': False, 'fast_math': True, 'optimization_level': 3})


@wp.kernel
def bake_kernel(
    paint: Paint,
    columns: int,
    side: int,
    points: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    texture: wp.array(dtype=wp.vec3),
    material: wp.array(dtype=wp.int32),
    pixels: wp.array2d(dtype=wp.vec3),
):
    """The albedo at a pixel: of the first triangle of its square below the diagonal, else of the second. Pixels beyond the border
    of a triangle continue it, so that interpolation between pixels needs no care."""
    row, column = wp.tid()
    cell = (row // side) * columns + column // side
    x = float(column % side) + 0.5
    y = float(row % side) + 0.5
    face = 2 * cell
    if x + y > float(side):
        face += 1
        x = float(side) - x
        y = float(side) - y
    if column // side < columns and face < material.shape[0]:
        leg = float(side - 3)
        b = (x - 1.0) / leg
        c = (y - 1.0) / leg
        i0 = faces[3 * face]
        i1 = faces[3 * face + 1]
        i2 = faces[3 * face + 2]
        hit = Hit()
        hit.texture = texture[i0] * (1.0 - b - c) + texture[i1] * b + texture[i2] * c
        edge = wp.length(wp.cross(points[i1] - points[i0], points[i2] - points[i0]))
        pixels[row, column] = albedo_of(paint, paint.materials[material[face]], hit, wp.sqrt(edge) / leg)
