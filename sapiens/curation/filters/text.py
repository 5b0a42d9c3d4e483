"""Text and watermarks, by the detector of text that a package of RapidOCR contains."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from sapiens.utils.option_values import require_number
from sapiens.utils.optional import require

from .bands import count_banded
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

    Watermarks and captions cover little. They are found by what they are: lines of text of nearly equal width and height in
    several places, and text on a flat transparent band over the image (:func:`.bands.count_banded`).

    Args:
        most: largest fraction of the image that lines of text cover.
        repeats: smallest number of lines of one size that counts as a watermark.
        banded: smallest number of lines on transparent bands that counts as a watermark.
        weights: of the detector; None for those of the package.
    """

    stage = 'model'
    score = 'fraction'
    limits = (0.0, 0.5)
    thresholds = ('most', 'repeats', 'banded')
    columns = dict(fraction=pa.float32(), lines=pa.int32(), repeats=pa.int32(), banded=pa.int32())

    def __init__(self, most: float = 0.03, repeats: int = 6, banded: int = 1, weights: str | None = None) -> None:
        require_number('most', most, least=0, most=1)
        require_number('repeats', repeats, least=2, whole=True)
        require_number('banded', banded, least=1, whole=True)
        if weights is not None and not Path(str(weights)).is_file():
            raise ValueError(f'weights={weights!r}: no such file; None takes those of the package')
        self.most, self.repeats, self.banded, self.weights = most, repeats, banded, weights
        self._session = None

    @property
    def threshold(self) -> float:
        return self.most

    def check(self) -> None:
        require('onnxruntime', 'the filter Text')
        self.weights or find_weights()

    def setup(self, device: str = 'auto') -> None:
        runtime = require('onnxruntime', 'the filter Text')
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # processes share the cores
        path = self.weights or find_weights()
        self._session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])

    def measure(self, photos):
        found = []
        for photo in photos:
            resized = reduced(photo.pixels)
            found.append(measure_text(self._probabilities(resized), cv2.cvtColor(resized, cv2.COLOR_RGB2GRAY)))
        return found

    def passes(self, table: pa.Table) -> np.ndarray:
        few = numbers(table, self.column('fraction')) <= self.most
        few &= numbers(table, self.column('repeats')) < self.repeats
        return few & (numbers(table, self.column('banded')) < self.banded)

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Return the probability of text, (H, W) float32, of a reduced image."""
        # The model takes BGR.
        batch = ((pixels[..., ::-1] / np.float32(255) - _MEAN) / _STD).transpose(2, 0, 1)[None]
        name = self._session.get_inputs()[0].name
        return self._session.run(None, {name: np.ascontiguousarray(batch)})[0][0, 0]


def reduced(pixels: np.ndarray) -> np.ndarray:
    """Return an image, (H, W, 3) uint8, in the size that the detector takes."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = [max(_STEP, round(side * scale / _STEP) * _STEP) for side in (width, height)]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def measure_text(probabilities: np.ndarray, gray: np.ndarray) -> dict:
    """Measure lines of text.

    Args:
        probabilities: of text, (H, W).
        gray: the image, (H, W) uint8.

    Returns:
        The fraction of the image that they cover, the number of lines, of those of nearly one size, and of those on bands.
    """
    mask = (probabilities > _PROBABLE).astype(np.uint8)
    count, _, regions, _ = cv2.connectedComponentsWithStats(mask)
    regions = regions[1:count]
    regions = regions[regions[:, cv2.CC_STAT_AREA] >= _LEAST_PIXELS]
    sizes = np.log(regions[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].astype(np.float64))
    alike = (np.abs(sizes[:, None] - sizes[None]).max(-1) < 0.15).sum(1) if len(sizes) else np.zeros(1, int)
    return dict(
        fraction=float(regions[:, cv2.CC_STAT_AREA].sum() / mask.size),
        lines=len(regions),
        repeats=int(alike.max()),
        banded=count_banded(gray.astype(np.float32), regions[:, :4]),
    )


def find_weights() -> Path:
    """Return the file of the text detector. Raises ImportError, with the command that installs it, where there is none."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations) if spec else []
    found = sorted(path for folder in folders for path in Path(folder).rglob('*_det_*.onnx'))
    if not found:
        raise ImportError(
            'the filter Text needs the weights of a text detector: python -m pip install --no-deps rapidocr-onnxruntime '
            '(Python 3.10 to 3.12), or take the filter out of the config'
        )
    return found[0]
