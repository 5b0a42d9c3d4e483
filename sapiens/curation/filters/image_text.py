"""Images by what they look like in words, with a zero-shot model of images and texts."""

from typing import Any

import numpy as np
import pyarrow as pa

from sapiens.utils.device import pick_device
from sapiens.utils.option_values import require_number
from sapiens.utils.optional import require

from .base import Filter, numbers, require_text

__all__ = ['ImageText']


class ImageText(Filter):
    """Images that wanted texts describe better than unwanted ones.

    Args:
        model: folder or name of a CLIP or SigLIP model of transformers.
        wanted: texts such as ``'a photo of a person'``.
        unwanted: texts such as ``'a drawing'``.
        threshold: least score: the probability of the wanted texts together, by a softmax over all texts.
        batch_size: images that the model gets at a time.
    """

    stage = 'model'
    score = 'score'
    thresholds = ('threshold', 'batch_size')
    columns = dict(score=pa.float32())

    def __init__(
        self, model: str, wanted: list[str], unwanted: list[str], threshold: float = 0.5, batch_size: int = 16
    ) -> None:
        require_number('threshold', threshold, least=0, most=1)
        require_number('batch_size', batch_size, least=1, whole=True)
        for key, texts in dict(wanted=wanted, unwanted=unwanted).items():
            if not texts or isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
                raise ValueError(f'{key}={texts!r}: expected a list of texts')
        self.model, self.wanted, self.unwanted = require_text('model', model), list(wanted), list(unwanted)
        self._threshold, self.batch = threshold, batch_size
        self._parts: Any = None

    @property
    def threshold(self) -> float:
        return self._threshold

    def check(self) -> None:
        require('transformers', 'the filter ImageText')

    def setup(self, device: str = 'auto') -> None:
        transformers = require('transformers', 'the filter ImageText')
        try:
            model = transformers.AutoModel.from_pretrained(self.model)
            processor = transformers.AutoProcessor.from_pretrained(self.model)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f'model={self.model!r} of the filter {self.name} cannot be loaded: {reason}') from error
        self._parts = model.eval().to(pick_device(device)), processor

    def measure(self, photos):
        import torch

        model, processor = self._parts
        texts = [*self.wanted, *self.unwanted]
        inputs = processor(
            text=texts,
            images=[photo.pixels for photo in photos],
            return_tensors='pt',
            padding='max_length',
            truncation=True,
        )
        with torch.inference_mode():
            logits = model(**inputs.to(model.device)).logits_per_image.float()
        probabilities = logits.softmax(-1)[:, : len(self.wanted)].sum(-1)
        return [dict(score=float(value)) for value in probabilities.cpu()]

    def passes(self, table: pa.Table) -> np.ndarray:
        return numbers(table, self.column('score')) >= self._threshold
