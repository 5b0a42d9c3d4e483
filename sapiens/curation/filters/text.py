"""Text and watermarks, by the detector of text that a package of RapidOCR contains."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from sapiens.utils.option_values import require_number
from sapiens.utils.optional import require

from .base import Filter, numbers

__all__ = ['Text', 'find_weights']

PACKAGE = 'rapidocr_onnxruntime'
# Input of the detector: the longest side, and the multiple that its sides have.
_SIDE, _STEP = 736, 32
_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
_PROBABLE = 0.3
# Regions of less pixels of the input are noise.
_LEAST_PIXELS = 40


class Text(Filter):
    """Images with little text.

    A text detector (PP-OCR's, in ONNX) marks lines of text. Its weights lie in a package whose other needs are not needed here:
    ``python -m pip install --no-deps rapidocr-onnxruntime``.

    Watermarks are repeated: lines of text of nearly equal width and height in several places.

    Args:
        most: largest fraction of the image that lines of text cover.
        repeats: smallest number of lines of one size that counts as a watermark.
        weights: of the detector; None for those of the package.
    """

    stage = 'model'
    score = 'fraction'
    limits = (0.0, 0.5)
    thresholds = ('most', 'repeats')
    columns = dict(fraction=pa.float32(), lines=pa.int32(), repeats=pa.int32())

    def __init__(self, most: float = 0.03, repeats: int = 6, weights: str | None = None) -> None:
        require_number('most', most, least=0, most=1)
        require_number('repeats', repeats, least=2, whole=True)
        self.most, self.repeats, self.weights = most, repeats, weights
        self._session = None

    @property
    def threshold(self) -> float:
        return self.most

    def setup(self, device: str = 'auto') -> None:
        runtime = require('onnxruntime', 'the filter Text')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # processes share the cores
        path = self.weights or find_weights()
        self._session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])

    def measure(self, photos):
        return [measure_text(self._probabilities(photo.pixels)) for photo in photos]

    def passes(self, table: pa.Table) -> np.ndarray:
        few = numbers(table, self.column('fraction')) <= self.most
        return few & (numbers(table, self.column('repeats')) < self.repeats)

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probability of text, (H, W) float32, of the reduced image."""
        height, width = pixels.shape[:2]
        scale = min(1.0, _SIDE / max(height, width))
        size = [max(_STEP, round(side * scale / _STEP) * _STEP) for side in (width, height)]
        resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)[..., ::-1]  # the model takes BGR
        batch = ((resized / np.float32(255) - _MEAN) / _STD).transpose(2, 0, 1)[None]
        name = self._session.get_inputs()[0].name
        return self._session.run(None, {name: np.ascontiguousarray(batch)})[0][0, 0]


def measure_text(probabilities: np.ndarray) -> dict:
    """Return the fraction covered by text, the number of lines, and of those of nearly one size, from (H, W) probabilities."""
    mask = (probabilities > _PROBABLE).astype(np.uint8)
    count, _, regions, _ = cv2.connectedComponentsWithStats(mask)
    regions = regions[1:count]
    regions = regions[regions[:, cv2.CC_STAT_AREA] >= _LEAST_PIXELS]
    sizes = np.log(regions[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].astype(np.float64))
    alike = (np.abs(sizes[:, None] - sizes[None]).max(-1) < 0.15).sum(1) if len(sizes) else np.zeros(1, int)
    fraction = regions[:, cv2.CC_STAT_AREA].sum() / mask.size
    return dict(fraction=float(fraction), lines=len(regions), repeats=int(alike.max()))


def find_weights() -> Path:
    """Return the file of the text detector. Raises ImportError, with the command that installs it, where there is none."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations) if spec else []
    found = sorted(path for folder in folders for path in Path(folder).rglob('*_det_*.onnx'))
    if not found:
        raise ImportError(
            'the filter Text needs the weights of a text detector: python -m pip install --no-deps rapidocr-onnxruntime, or take '
            'the filter out of the config'
        )
    return found[0]
