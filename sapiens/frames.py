"""The two camera frames of vectors such as surface normals.

``camera``: x right, y down, z forward into the scene. All code of this package uses it.
``published``: x right, y up, z towards the camera. The published models predict normals in it, and files store them in it.
"""

from typing import TypeVar

import numpy as np

__all__ = ['PUBLISHED', 'to_published']

PUBLISHED = (1.0, -1.0, -1.0)  # factors of x, y, z between the frames, in both directions

Vectors = TypeVar('Vectors')  # np.ndarray or torch.Tensor


def to_published(vectors: Vectors, dim: int = -1) -> Vectors:
    """Convert vectors from the camera frame to the published one, or back.

    Args:
        vectors: array or tensor of any shape with x, y, z along ``dim``.
        dim: that dimension.
    """
    shape = [1] * vectors.ndim
    shape[dim] = 3
    if isinstance(vectors, np.ndarray):
        return vectors * np.array(PUBLISHED, vectors.dtype).reshape(shape)
    return vectors * vectors.new_tensor(PUBLISHED).view(shape)
