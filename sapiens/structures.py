"""Data structures of a batch: the sample of dense tasks, and the report of the loader.

Legend: H, W size of the image the network sees. Camera frame: x right, y down, z forward (into the scene), so a
surface that faces the camera has a normal with negative z (:mod:`sapiens.frames`).
"""

from dataclasses import dataclass, field

from mmengine.structures import BaseDataElement

from .tasks import get_field

__all__ = ['DenseDataSample', 'LoaderRecord']


@dataclass
class LoaderRecord:
    """Report of the data loader for one batch; the training loop removes it before the model sees the batch.

    Attributes:
        bad: (path, reason) of every file that was skipped while this batch was made.
        rejected: why the pipeline rejected a sample, once for each sample that it rejected while this batch was made.
        samples: number of good samples in the batch.
        notes: lines for the log.
    """

    bad: list = field(default_factory=list)
    samples: int = 0
    rejected: list = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class DenseDataSample(BaseDataElement):
    """Targets and predictions of one image, for every dense task and for pretraining.

    A field is a tensor or an array; ``gt_x`` is the label, ``pred_x`` the prediction, both of the same shape. The fields of tasks
    (:class:`sapiens.tasks.MapField`) are checked; those of the package are

    ==================  =========  ==============================================================================
    ``gt_sem_seg``      (H, W)     int64 class ids; 255 is ignored
    ``gt_depth``        (1, H, W)  float32 meters along z
    ``gt_normal``       (3, H, W)  float32 unit vectors in the camera frame (x right, y down, z forward)
    ``gt_pointmap``     (3, H, W)  float32 meters in the camera frame
    ``gt_albedo``       (3, H, W)  float32 in [0, 1], linear RGB
    ``gt_alpha``        (1, H, W)  float32 in [0, 1]
    ``valid_mask``      (H, W)     bool, True where the labels are valid; ``valid_x`` for fields with their own validity
    ==================  =========  ==============================================================================

    Training may have normals in float16. Any other field is free. Metainfo:

    - ``img_path``; ``sample_idx``, the position in the dataset; ``flip`` (bool).
    - ``ori_shape`` and ``img_shape``: (h, w) in pixels of the original, upright image and of the network's input.
    - ``crop``: (x, y, w, h) in pixels of the original image.
    - ``warp_matrix``: (2, 3), from pixels of the original image to pixels of the input, which may be letterboxed.
      Without it, the image was stretched to the input.

    Raises:
        ValueError: a declared field with the wrong number of dimensions or channels, or with another (H, W) than the
            declared fields already set.
    """

    def set_field(self, value, name, dtype=None, field_type='data'):
        # Attributes, set_data() and update() all call this method.
        if field_type == 'data':
            self._check(name, value)
        super().set_field(value, name, dtype, field_type)

    def __setattr__(self, name, value):
        if name in ('_metainfo_fields', '_data_fields'):
            super().__setattr__(name, value)
        else:
            self.set_field(value, name)

    def _check(self, name, value) -> None:
        declared = get_field(name)
        if declared is None:
            return
        leading = declared.leading
        shape = tuple(getattr(value, 'shape', ()))
        expected = ', '.join([*map(str, leading), 'H', 'W'])
        if len(shape) != len(leading) + 2 or shape[: len(leading)] != leading:
            raise ValueError(f'{name} has shape {shape}, expected ({expected})')
        for other in self._data_fields:
            if other != name and get_field(other) is not None:
                size = tuple(getattr(self, other).shape[-2:])
                if size != shape[-2:]:
                    raise ValueError(
                        f'{name} is {shape[-2]} x {shape[-1]} (H x W), but {other} of the same sample is '
                        f'{size[0]} x {size[1]}: transform all targets of a sample together'
                    )
