"""The test set of a config: its samples, the images that they belong to, and a fixed part of them."""

import os
from collections.abc import Sequence
from hashlib import blake2b

from mmengine.config import Config
from torch.utils.data import Dataset

from sapiens.apis.fingerprint import fingerprint
from sapiens.registry import DATASETS, METRICS

from .interval import chosen

__all__ = ['EvaluationSet', 'build_metrics', 'open_set']


class EvaluationSet:
    """Samples of an evaluation.

    Attributes:
        dataset: of the config.
        indices: samples to evaluate.
        images: identities of the images to evaluate: ids of COCO files, else paths below the root.
        total: images of the whole test set.
    """

    def __init__(self, dataset: Dataset, indices: list[int], images: list, total: int) -> None:
        self.dataset, self.indices, self.images, self.total = dataset, indices, images, total

    def identity(self) -> str:
        """A text that changes with the list of images, and with the file of annotations."""
        names = '\n'.join(map(str, self.images))
        text = f'{len(self.indices)} {names}'
        if path := getattr(self.dataset, 'ann_file', None):
            text += fingerprint(path)
        return blake2b(text.encode(errors='surrogateescape'), digest_size=8).hexdigest()


def open_set(cfg: Config, metrics: Sequence, quick: bool) -> EvaluationSet:
    """Build the test set of a config, and choose its samples.

    Images without a sample count too, where the metric knows them: those of COCO files in which nobody was detected.

    Args:
        metrics: of the config; those of keypoints are told the images that count.
        quick: a fixed twentieth of the images.

    Raises:
        FileNotFoundError, ValueError: see the dataset.
    """
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    images = [_image_of(dataset, index) for index in range(len(dataset))]
    known = next((metric.people.image_ids for metric in metrics if hasattr(metric, 'keep_images')), images)
    everything = {str(one): one for one in known}
    if not quick:
        return EvaluationSet(dataset, list(range(len(dataset))), list(everything.values()), len(everything))
    kept = {everything[name] for name in chosen(list(everything))}
    for metric in metrics:
        if hasattr(metric, 'keep_images'):
            metric.keep_images(kept)
    indices = [index for index, one in enumerate(images) if one in kept]
    return EvaluationSet(dataset, indices, sorted(kept, key=str), len(everything))


def build_metrics(cfg: Config) -> list:
    """Metrics of the test evaluator that take samples one by one; the mean loss of training is left out."""
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list | tuple) else [cfg.test_evaluator]
    metrics = [METRICS.build(one) for one in evaluators]
    metrics = [metric for metric in metrics if hasattr(metric, 'redrawn')]
    for metric in metrics:
        metric.by_sample = True
    return metrics


def _image_of(dataset: Dataset, index: int) -> int | str:
    sample = dataset.load(index)
    if 'img_id' in sample:
        return sample['img_id']
    return os.path.relpath(sample['img_path'], getattr(dataset, 'root', '.'))
