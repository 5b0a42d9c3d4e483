"""Errors of albedo on people."""

import cv2
import numpy as np
import torch
from mmengine.logging import print_log
from prettytable import PrettyTable
from torch import Tensor

from sapiens.registry import METRICS
from sapiens.utils.srgb import decode_srgb, encode_srgb

from .dense_functional import gradient_error_sums, masked_ssim
from .streaming import StreamingMetric, field_of

__all__ = ['AlbedoMetric']

ENCODINGS = 'srgb', 'linear'
_NAMES = 'MAE', 'RMSE', 'PSNR', 'SSIM', 'gradient'
_ROWS = dict(prediction='prediction', photo='the photograph', mean_color='its mean color')


@METRICS.register_module()
class AlbedoMetric(StreamingMetric):
    """Differences between predicted and true albedo, on the pixels of people. Values are RGB from 0 to 1.

    Reports, each under ``prefix/``: ``MAE``, ``RMSE``; ``PSNR`` in decibels, for a range of 1; ``SSIM``, see
    :func:`.dense_functional.masked_ssim`; ``gradient``, the mean absolute difference of the steps from a pixel to its right and
    lower neighbor, see :func:`.dense_functional.gradient_error_sums`. PSNR and SSIM are better if higher. Also ``photo_MAE`` and
    ``mean_color_MAE``, two baselines that the batch gives: the photograph itself as the network sees it, and the mean color of
    its people. The log has all numbers of all three.

    Only pixels where ``valid_mask`` is true count. Images without any are skipped with a warning.

    Args:
        encoding: of the predictions, that of the model's ``AlbedoTask``: ``'srgb'``, as published, or ``'linear'``. Labels are
            linear and are converted to it.
        average: ``'image'``, the mean of the values of the images, or ``'pixel'``, over all pixels.
        **options: prefix, collect_device, collect_dir of :class:`StreamingMetric`.

    Raises:
        ValueError: an unknown encoding or mode.
    """

    default_prefix = 'albedo'
    names = (*_NAMES, 'photo_MAE', 'mean_color_MAE')
    needs_inputs = True

    def __init__(self, encoding: str = 'srgb', average: str = 'image', **options):
        for name, value, known in (('encoding', encoding, ENCODINGS), ('average', average, ('image', 'pixel'))):
            if value not in known:
                raise ValueError(f'AlbedoMetric: {name}={value!r}, expected one of {", ".join(map(repr, known))}')
        super().__init__(**options)
        self.encoding, self.average = encoding, average

    def measure(self, sample: dict) -> dict:
        """Differences of a sample: a dict with ``pred_albedo`` (3, H, W) in the encoding of the model, ``gt_albedo`` (3, H, W)
        linear, ``valid_mask`` (H, W) bool, and perhaps ``inputs`` (3, h, w) uint8 sRGB with ``warp_matrix``."""
        pred = field_of(sample, 'pred_albedo')
        target = field_of(sample, 'gt_albedo', pred).float()
        valid = field_of(sample, 'valid_mask', pred).bool()
        if not valid.any():
            return self.note('have no labeled pixel and are skipped', sample)
        target = encode_srgb(target) if self.encoding == 'srgb' else target
        answers, found = dict(prediction=pred.float()), {}
        photo = photograph(sample, tuple(valid.shape))
        if photo is not None:
            photo = photo.to(pred.device)
            photo = photo if self.encoding == 'srgb' else decode_srgb(photo)
            color = photo[:, valid].double().mean(1).float()
            answers.update(photo=photo, mean_color=color[:, None, None].expand_as(photo))
        else:
            found = self.note('come without the photograph, which is not compared', sample)
        for name, answer in answers.items():
            sums = _sums(answer, target, valid).cpu().numpy()
            found[name] = sums if self.average == 'pixel' else np.where(_defined(sums), _errors(sums), 0)
            if self.average == 'image':
                found[f'{name} images'] = _defined(sums).astype(int)
        if not np.isfinite(_sums_of_errors(found['prediction'], self.average)).all():
            found.update(self.note('have a prediction that is not finite', sample))
        return found

    def report(self, sums: dict) -> dict[str, float]:
        if 'prediction' not in sums:
            self._warn('no pixel is labeled; nothing is reported')
            return {}
        with np.errstate(invalid='ignore'):  # images too small for SSIM or without neighbors
            if self.average == 'pixel':
                rows = {name: _errors(sums[name]) for name in _ROWS if name in sums}
            else:
                rows = {name: sums[name] / sums[f'{name} images'] for name in _ROWS if name in sums}
        table = PrettyTable(['', *_NAMES])
        table.align = 'r'
        for name, row in rows.items():
            table.add_row([_ROWS[name], *(f'{value:.2f}' if key == 'PSNR' else f'{value:.4f}'
                                          for key, value in zip(_NAMES, row, strict=True))])  # fmt: skip
        text = f'{self.prefix}, {self.encoding} values in [0, 1]: {sums["samples"]} images'
        print_log(f'{text}; average over {self.average}s\n{table}', 'current')
        found = dict(zip(_NAMES, rows['prediction'].tolist(), strict=True))
        return found | {f'{name}_MAE': float(rows[name][0]) for name in rows if name != 'prediction'}


def photograph(sample: dict, size: tuple[int, int]) -> Tensor | None:
    """(3, H, W) float32 in [0, 1], sRGB: the network's input at the pixels of the labels. None where the sample has no uint8
    ``inputs``.

    ``warp_matrix`` (2, 3) leads from the labels to the input. Without one, the image was stretched to the input.
    """
    inputs = sample.get('inputs')
    if not isinstance(inputs, Tensor) or inputs.dtype != torch.uint8:
        return None
    image, shape = inputs.permute(1, 2, 0).cpu().numpy(), tuple(inputs.shape[-2:])
    if shape != size:
        matrix = sample.get('warp_matrix')
        if matrix is None:
            y, x = shape[0] / size[0], shape[1] / size[1]
            matrix = [[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        image = np.ascontiguousarray(image)
        image = cv2.warpAffine(image, np.float64(matrix), size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def _sums(answer: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """(7,) float64: number of values, sums of the absolute and square differences; number of SSIM windows, their sum; number of
    steps between pixels, sum of their differences."""
    error = (answer - target)[:, valid].double()
    similarity = masked_ssim(answer, target, valid).double()
    counts = error.new_tensor(error.numel()), error.new_tensor(similarity.numel())
    steps = gradient_error_sums(answer, target, valid)
    return torch.stack([counts[0], error.abs().sum(), error.square().sum(), counts[1], similarity.sum(), *steps])


def _sums_of_errors(values: np.ndarray, average: str) -> np.ndarray:
    """Numbers that are finite for every finite prediction; PSNR of an image is infinite if it has no error."""
    return values if average == 'pixel' else values[:2]


def _defined(sums: np.ndarray) -> np.ndarray:
    return sums[[0, 0, 0, 3, 5]] > 0


def _errors(sums: np.ndarray) -> np.ndarray:
    """(5,) named by ``_NAMES``; NaN without windows or steps."""
    with np.errstate(divide='ignore', invalid='ignore'):
        square = sums[2] / sums[0]
        psnr = -10 * np.log10(square)
        return np.array([sums[1] / sums[0], np.sqrt(square), psnr, sums[4] / sums[3], sums[6] / sums[5]])
