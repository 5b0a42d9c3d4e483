"""Predictor of pointmaps."""

import logging
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from torch import nn

from sapiens.utils.pinhole import MIN_SCALE

from ..preprocess import WholeInput
from ..results import PointmapResult
from ..results.pointmap import RAYS
from ..user_camera import EXIF, UserCamera, centered_intrinsics
from .dense import DensePredictor

__all__ = ['PointmapPredictor', 'estimated_camera']


class PointmapPredictor(DensePredictor):
    """Predicts a point for each pixel. Who knows the camera gets the meters of that camera.

    Args:
        focal: focal length in pixels of the images; ``'exif'`` takes that of the file, and the estimate where it has none.
        intrinsics: (3, 3) in pixels of the images, the path of a file, or a folder of files with the names of the images.
        rays: ``'predicted'``, or ``'project'``, which puts each point on the ray of its pixel.

    Raises:
        FileNotFoundError, ValueError: see :class:`sapiens.apis.user_camera.UserCamera`; unknown rays.
    """

    options = ('flip_test', 'focal', 'intrinsics', 'rays')

    def __init__(
        self,
        task: str,
        network: nn.Module,
        preprocess: WholeInput,
        *,
        focal: float | str | None = None,
        intrinsics: np.ndarray | str | Path | None = None,
        rays: str = RAYS[0],
        **options,
    ) -> None:
        super().__init__(task, network, preprocess, **options)
        if rays not in RAYS:
            raise ValueError(f'rays={rays!r} is not one of {RAYS}')
        self.camera, self.rays = UserCamera(focal, intrinsics), rays
        self._told = False

    def read(self, samples: list) -> list:
        """Return the attributes of the results of predicted samples, with the focal length that the network estimates."""
        outputs = super().read(samples)
        for output, sample in zip(outputs, samples, strict=True):
            matrix, width = sample.metainfo.get('warp_matrix'), sample.img_shape[1]
            zoom = width / sample.ori_shape[1] if matrix is None else float(matrix[0][0])
            output.update(estimated_camera(float(sample.pred_scale), width / zoom, sample.ori_shape[:2]))
        return outputs

    def result(self, image: np.ndarray, path: str, outputs: list) -> PointmapResult:
        """Make the result of an image.

        Raises:
            BadImage: intrinsics that do not fit the image.
        """
        found = super().result(image, path, outputs)
        known = self.camera.of_image(path, image.shape[:2])
        if known is not None:
            found = found.seen_by(*known)
        else:
            if self.camera.focal == EXIF and not self._told:
                self._told = True
                text = f'{path or "an array"} has no focal length in its EXIF data: the estimate is used, here and in such files'
                print_log(text, 'current', logging.WARNING)
            if not np.isfinite(found.estimated_focal):
                size = image.shape[:2]
                found.intrinsics = centered_intrinsics(float('nan'), size)
                found.points = np.full_like(found.points, np.nan)
        return found.on_rays() if self.rays == 'project' else found


def estimated_camera(scale: float, width: float, size: tuple[int, int]) -> dict:
    """Attributes of a result: the camera that a predicted scale tells.

    Args:
        scale: of canonical points, those of a camera whose focal length is the width of the input.
        width: of the input, in pixels of the image.
        size: (H, W) of the image.
    """
    known = scale > MIN_SCALE
    # Without a scale any camera will do that a later, known one replaces: the points are divided by the smallest scale.
    focal = width / max(scale, MIN_SCALE)
    return dict(
        estimated_focal=focal if known else float('nan'),
        intrinsics=centered_intrinsics(focal, size),
    )
