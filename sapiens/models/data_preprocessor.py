"""Normalization of images on the device; loaders give uint8."""

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from sapiens.registry import MODELS

__all__ = ['IMAGE_MEAN', 'IMAGE_STD', 'ImageNormalizer', 'build_normalizer']

# RGB, gray levels 0-255. Source: ImageNet, as in every full (not "lite") published config.
IMAGE_MEAN = (123.675, 116.28, 103.53)
IMAGE_STD = (58.395, 57.12, 57.375)
_DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}


@MODELS.register_module()
class ImageNormalizer(BaseDataPreprocessor):
    """Move a batch to the device as uint8 and normalize it there.

    Takes ``dict(inputs, data_samples)`` with ``inputs`` a uint8 (B, 3, H, W) tensor or a list of (3, H, W) tensors of one size.
    Returns the same with ``inputs`` float32 (B, 3, H, W) RGB.

    In training, ``labels`` of the batch (stacked tensors by name) are moved and returned too. The samples then stay where they
    are, because losses need no more of them than their metainfo. Without stacked labels, and in evaluation, the samples are
    moved. ``seeds`` (B,) of the samples, a tensor or a list, are returned as int64 on the device, if the batch has them. Other
    keys of a batch are dropped.

    Args:
        mean, std: gray levels of R, G, B, 0-255.
        bgr_to_rgb: swap the channels first (for transforms that load with OpenCV).
        non_blocking: copy to the device asynchronously where the memory is pinned.
        training_dtype: of ``mean`` and ``std`` in training: ``'fp32'``, or ``'bf16'``, which rounds them as the published mixed
            precision of Sapiens2 does (123.5, 116.5, 103.5 and 58.5, 57, 57.5). Evaluation and inference take the given ones.

    Raises:
        ValueError: an unknown type; when called, images of one batch differ in size.
    """

    def __init__(
        self,
        mean: tuple[float, ...] = IMAGE_MEAN,
        std: tuple[float, ...] = IMAGE_STD,
        bgr_to_rgb: bool = False,
        non_blocking: bool = True,
        training_dtype: str = 'fp32',
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        if training_dtype not in _DTYPES:
            raise ValueError(f'training_dtype={training_dtype!r} is not one of {tuple(_DTYPES)}')
        self.training_dtype = training_dtype
        self.bgr_to_rgb = bgr_to_rgb
        for name, levels in (('mean', mean), ('std', std)):
            self.register_buffer(name, torch.tensor(levels, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        inputs = data['inputs']
        if not isinstance(inputs, Tensor):
            sizes = {tuple(image.shape) for image in inputs}
            if len(sizes) > 1:
                raise ValueError(f'images of one batch differ in size: {sorted(sizes)}; resize them in the pipeline')
            inputs = torch.stack(list(inputs))
        batch = dict(inputs=self.normalize(inputs, training), data_samples=data.get('data_samples'))
        if 'seeds' in data:
            batch.update(self._moved(dict(seeds=torch.as_tensor(data['seeds'], dtype=torch.int64))))
        if training and data.get('labels'):
            batch['labels'] = self._moved(data['labels'])
        else:
            batch['data_samples'] = self.cast_data(batch['data_samples'])
        return batch

    def _moved(self, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        device, non_blocking = self.mean.device, self._non_blocking
        return {name: value.to(device, non_blocking=non_blocking) for name, value in labels.items()}

    def normalize(self, images: Tensor, training: bool = False) -> Tensor:
        """uint8 (..., 3, H, W) -> float32 RGB, on the device of this module."""
        images = images.to(self.mean.device, non_blocking=self._non_blocking)
        if self.bgr_to_rgb:
            images = images.flip(-3)
        mean, std = self.mean, self.std
        if training and self.training_dtype != 'fp32':
            mean, std = (levels.to(_DTYPES[self.training_dtype]).float() for levels in (mean, std))
        return (images.float() - mean) / std

    def denormalize(self, images: Tensor) -> Tensor:
        """float (..., 3, H, W) normalized RGB -> uint8 RGB, rounded and clipped."""
        return (images.float() * self.std + self.mean).round().clamp(0, 255).to(torch.uint8)


def build_normalizer(config: dict | None) -> nn.Module:
    """Build the preprocessor of a model; an :class:`ImageNormalizer` unless the config names another type."""
    return MODELS.build({'type': 'ImageNormalizer', **(config or {})})
