"""Collating samples into a batch."""

from torch.utils.data import default_collate

from sapiens.registry import FUNCTIONS
from sapiens.structures import LoaderRecord
from sapiens.utils.batch_labels import Batch, stack_labels

__all__ = ['stack_collate']


@FUNCTIONS.register_module()
def stack_collate(samples: list[dict], labels: bool = True) -> Batch:
    """Stack samples of one size into a batch.

    Args:
        samples: dicts with ``inputs`` (uint8 (3, H, W) tensor) and optionally ``data_samples``, ``bad`` (list of
            (path, reason)), ``rejected`` (reasons, one in a line), ``notes`` (lines for the log) and ``seeds`` (the sample's
            seed, an int).
        labels: also stack the labels of the samples (:func:`sapiens.utils.batch_labels.stack_labels`), for training. The model
            gets them as ``labels``. Evaluation reads labels from the samples.

    Returns:
        dict(inputs=uint8 (B, 3, H, W), data_samples=list of B, loader=:class:`sapiens.structures.LoaderRecord`),
        ``labels`` where there are some of the size of the inputs, and ``seeds`` int64 (B,) if all samples have one.

    Raises:
        ValueError: images of different sizes.
    """
    shapes = {tuple(sample['inputs'].shape) for sample in samples}
    if len(shapes) > 1:
        raise ValueError(
            f'a batch has images of different shapes {sorted(shapes)}: give the pipeline a fixed output size '
            "(LoadRandomResizedCrop or LoadResize), or use mmengine's pseudo_collate"
        )
    batch = Batch(
        inputs=default_collate([sample['inputs'] for sample in samples]),
        data_samples=[sample.get('data_samples') for sample in samples],
        loader=LoaderRecord(
            bad=[entry for sample in samples for entry in sample.get('bad', ())],
            samples=len(samples),
            rejected=[reason for sample in samples for reason in sample.get('rejected', '').splitlines()],
            notes=[line for sample in samples for line in sample.get('notes', ())],
        ),
    )
    if all('seeds' in sample for sample in samples):
        batch['seeds'] = default_collate([sample['seeds'] for sample in samples])
    if labels and (stacked := stack_labels(batch['data_samples'], batch['inputs'].shape[-2:])):
        batch['labels'] = stacked
    return batch
