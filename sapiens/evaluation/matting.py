"""Errors of mattes."""

from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from prettytable import PrettyTable

from sapiens.registry import METRICS

from .matting_functional import MATTING_ERRORS, matting_errors, unknown_band
from .streaming import StreamingMetric, field_of, name_of

__all__ = ['MattingMetric']

_ROWS, _REGIONS = ('prediction', 'mask', 'model_mask'), ('', 'unknown')


@METRICS.register_module()
class MattingMetric(StreamingMetric):
    """Errors of alpha as in the alpha-matting benchmark (Rhemann et al. 2009), averaged over images; all are better if lower.

    Reports, each under ``prefix/``: ``SAD``, the sum of absolute differences of an image, in thousands; ``MAD`` and ``MSE``, the
    mean absolute and square difference; ``grad`` and ``conn``, errors of gradients and of connectivity, in thousands; see
    :func:`.matting_functional.matting_errors`. Over all pixels, and as ``unknown_SAD``, ... over the band of unknown pixels
    around the edges of the true alpha (:func:`.matting_functional.unknown_band`), where images without such pixels do not count.
    Also ``mask_MAD`` and ``unknown_mask_MAD``, a baseline that knows where people are but not their edges: ``gt_mask`` if the
    sample has it, otherwise where the true alpha is 0.5 or more. With ``mask_dir`` also ``model_mask_MAD`` and
    ``unknown_model_mask_MAD``, of masks that a segmentation model found. The log has all numbers of all.

    Only pixels where ``valid_mask`` is true count. Images without any are skipped with a warning.

    Args:
        band: distance from an edge to the end of the unknown band, as a fraction of the longer side of the image.
        mask_dir: folder of masks (H, W), ``<name of the image>.npy``, as ``sapiens infer seg --save mask`` writes them.
        **options: prefix, collect_device, collect_dir of :class:`StreamingMetric`.

    Raises:
        ValueError: a band that is not above 0, or a mask of another size than the labels.
        FileNotFoundError: an image has no mask in ``mask_dir``.
    """

    default_prefix = 'matting'
    names = (
        *MATTING_ERRORS,
        *(f'unknown_{name}' for name in MATTING_ERRORS),
        'mask_MAD',
        'unknown_mask_MAD',
    )

    def __init__(self, band: float = 0.01, mask_dir: str | Path | None = None, **options):
        if not 0 < band < 1:
            raise ValueError(f'MattingMetric: band={band}, expected a fraction of the longer side, above 0')
        super().__init__(**options)
        self.band, self.mask_dir = band, None if mask_dir is None else Path(mask_dir)
        if self.mask_dir is not None:
            self.names = (*self.names, 'model_mask_MAD', 'unknown_model_mask_MAD')

    def measure(self, sample: dict) -> dict:
        """Errors of a sample: a dict with ``pred_alpha`` and ``gt_alpha`` (1, H, W) in [0, 1], ``valid_mask`` (H, W) bool, and
        perhaps ``gt_mask`` (H, W) bool."""
        pred = field_of(sample, 'pred_alpha').detach().cpu()
        target = field_of(sample, 'gt_alpha', pred).float()[0].numpy()
        valid = field_of(sample, 'valid_mask', pred).bool().numpy()
        if not valid.any():
            return self.note('have no labeled pixel and are skipped', sample)
        mask = target >= 0.5
        if 'gt_mask' in sample:
            mask = field_of(sample, 'gt_mask', pred).bool().numpy()
        unknown = unknown_band(target, self.band, valid) & valid
        answers = [pred.float()[0].numpy(), mask.astype(np.float32)]
        if self.mask_dir is not None:
            answers.append(self._model_mask(sample, mask.shape))
        errors = np.stack([matting_errors(answer, target, valid, [valid, unknown]) for answer in answers])
        odd = {} if np.isfinite(errors).all() else self.note('have a prediction that is not finite', sample)
        return dict(errors=errors, counts=np.array([1, int(unknown.any())]), **odd)

    def _model_mask(self, sample: dict, size: tuple[int, int]) -> np.ndarray:
        path = self.mask_dir / f'{Path(name_of(sample)).stem}.npy'
        if not path.is_file():
            raise FileNotFoundError(
                f'mask_dir: no {path} for {name_of(sample)}; `sapiens infer seg --save mask` writes it'
            )
        mask = np.load(path)
        if mask.shape != size:
            raise ValueError(f'{path}: a mask of {mask.shape} for labels of {size}')
        return (mask > 0).astype(np.float32)

    def report(self, sums: dict) -> dict[str, float]:
        if 'errors' not in sums:
            self._warn('no pixel is labeled; nothing is reported')
            return {}
        counts = sums['counts']
        # (prediction or mask, all or unknown pixels, errors)
        values = sums['errors'] / np.maximum(counts, 1)[:, None]
        table = PrettyTable(['', *MATTING_ERRORS])
        table.align = 'r'
        found = {}
        for region, name in enumerate(_REGIONS):
            if not counts[region]:
                self._warn('no image has unknown pixels; nothing is reported of them')
                continue
            start = f'{name}_' if name else ''
            found.update((f'{start}{key}', float(v)) for key, v in zip(MATTING_ERRORS, values[0, region], strict=True))
            for row, answer in enumerate(_ROWS[: len(values)]):
                title = f'{answer.replace("_", " ")}, {"unknown band" if name else "all pixels"}'
                table.add_row([title, *(f'{value:.4f}' for value in values[row, region])])
            for row, answer in enumerate(_ROWS[1 : len(values)], 1):
                found[f'{start}{answer}_MAD'] = float(values[row, region, MATTING_ERRORS.index('MAD')])
        text = f'{self.prefix}: {sums["samples"]} images; SAD, grad and conn in thousands; average over images'
        print_log(f'{text}\n{table}', 'current')
        return {name: found[name] for name in self.names if name in found}
