"""Predictor of features, and features of many files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..inputs import Item
from ..loading.build import input_pipeline, load_encoder
from ..pipeline import in_order, run
from ..preprocess import build_whole_input
from ..results import FeatureResult
from .base import Predictor

__all__ = ['FeaturePredictor', 'extract_features']


class FeaturePredictor(Predictor):
    """Computes the features of whole images. The network is an encoder from :func:`sapiens.apis.load_encoder`."""

    options = ()
    any_model = True

    @classmethod
    def from_config(cls, task: str, cfg: Config, checkpoint: str | Path | None, device: str, **options) -> 'Predictor':
        encoder = load_encoder(cfg, checkpoint, device)
        return cls(task, encoder, build_whole_input(input_pipeline(cfg)), **options)

    def normalize(self, images: Tensor) -> Tensor:
        return self.network.normalizer.normalize(images)

    def compiled_parts(self) -> list[nn.Module]:
        return [self.network]

    def predict_batch(self, inputs: Tensor, samples: list) -> list:
        dtype = torch.float16 if self.dtype == torch.float16 else torch.float32
        blocks = [output.to(dtype).cpu().numpy() for output in self.network(inputs)]
        return [[block[index] for block in blocks] for index in range(len(inputs))]

    def result(self, image: np.ndarray, path: str, outputs: list) -> FeatureResult:
        (blocks,) = outputs
        return FeatureResult(image=image, path=path, features=blocks[-1], blocks=blocks)


def extract_features(
    encoder: nn.Module,
    paths: Sequence[str | Path],
    pipeline: list,
    batch_size: int = 8,
    num_workers: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[Path, list[Tensor] | str]]:
    """Yield (path, features) in order. Features are one tensor per entry of ``out_indices``, on the CPU.

    A file that cannot be read yields the reason (a string) instead.

    Args:
        encoder: from :func:`sapiens.apis.load_encoder`.
        pipeline: a config's ``val_pipeline``; its loading transform decides the size of the input.
        num_workers: threads that read and resize images.
        dtype: float32, or bfloat16 / float16 for autocast; the features have this type too.
    """
    predictor = FeaturePredictor(
        'features', encoder, build_whole_input(pipeline), dtype=dtype, batch_size=batch_size, crop='host'
    )
    items = (Item(str(path), str(index)) for index, path in enumerate(paths))
    for job in in_order(run({'features': predictor}, items, workers=max(num_workers, 1))):
        features = job.error or [torch.from_numpy(block).to(dtype) for block in job.results['features'].blocks]
        yield paths[int(job.item.name)], features
