"""Loading an image with its label maps through random geometry."""

from collections.abc import Mapping, Sequence

from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS
from sapiens.tasks import get_field, map_fields

from .loading import check_decoding
from .random_geometry import GeometricStep
from .sampling import INTERPOLATIONS, transform_sample

__all__ = ['LoadDense']


@TRANSFORMS.register_module()
class LoadDense(BaseTransform):
    """Read an image and transform it, with its labels, by random geometry.

    The steps are those of mmseg's pipelines, drawn in their order with their probabilities. The result is sampled once from the
    original. An image that one step reduces and a later one upsamples passes through the small image, as in mmseg; its labels do
    not, and stay sharp.

    Required Keys: img_path; or img_bytes; or img (uint8 (H, W, 3) RGB); label maps ``gt_<field>`` of the fields that tasks
    declare, valid_mask and valid_<field>, of the upright image's size; flip_table (256,) for class ids that may be mirrored;
    intrinsics (3, 3) where known

    Added Keys: img (uint8 (h, w, 3) RGB), img_shape and ori_shape (h, w), flip, rotation (degrees, clockwise, after the flip),
    crop (x, y, w, h: the box of the original image that is seen, in pixels), warp_matrix (2, 3) float64 from the original
    image to the result

    Modified Keys: the label maps; intrinsics, those of the camera that sees the result

    Args:
        steps: :class:`RandomResize`, :class:`RandomCrop`, :class:`Resize`, :class:`RandomRotate`, :class:`RandomFlip`, or their
            configs; the last sizes must be fixed for a batch.
        decode: 'fast' decodes JPEGs at a reduced scale where that is enough, and upsamples their chroma plainly; 'exact'
            starts from the pixels that Pillow gives.
        antialias: average pixels when reducing. False takes single samples, as OpenCV's bilinear resize and the published
            pipeline do.
        interpolation: {key of a label map: 'nearest' or 'linear'} to override the declaration of its field.
        max_megapixels: larger images are bad files.

    Raises:
        ValueError: an argument out of its range, or a label map that no task declares.
        BadImage: a file that cannot be used, or labels of another size than their image.
    """

    def __init__(
        self,
        steps: Sequence[GeometricStep | dict],
        decode: str = 'fast',
        antialias: bool = True,
        interpolation: Mapping[str, str] | None = None,
        max_megapixels: float = 150,
    ):
        self.steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in steps]
        for step in self.steps:
            if not isinstance(step, GeometricStep):
                raise ValueError(f'steps has {step!r}: expected steps of geometry, such as RandomCrop')
        for key, name in (interpolation or {}).items():
            if get_field(key) is None or name not in INTERPOLATIONS:
                keys = ', '.join(f'gt_{field}' for field in map_fields())
                raise ValueError(
                    f"interpolation={{{key!r}: {name!r}}}: expected 'nearest' or 'linear' for some of {keys}, valid_mask"
                )
        self.exact = check_decoding(decode, max_megapixels)
        self.antialias, self.max_megapixels = antialias, max_megapixels
        self.interpolation = dict(interpolation or {})

    def transform(self, results: dict) -> dict:
        options = self.exact, self.antialias, self.interpolation, self.max_megapixels
        return transform_sample(results, self.steps, *options)
