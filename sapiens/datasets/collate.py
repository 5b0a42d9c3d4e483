"""Collating samples into a batch."""

import torch

from sapiens.registry import FUNCTIONS
from sapiens.structures import LoaderRecord

__all__ = ['stack_collate']


@FUNCTIONS.register_module()
def stack_collate(samples: list[dict]) -> dict:
    """Stack samples of one size into a batch.

    Args:
        samples: dicts with ``inputs`` (uint8 (3, H, W) tensor) and optionally ``data_samples``, ``bad`` (list of
            (path, reason)), ``rejected`` (reasons, one in a line) and ``state`` (a stream's position after the sample).

    Returns:
        dict(inputs=uint8 (B, 3, H, W), data_samples=list of B, loader=:class:`sapiens.structures.LoaderRecord`).

    Raises:
        ValueError: images of different sizes.
    """
    shapes = {tuple(sample['inputs'].shape) for sample in samples}
    if len(shapes) > 1:
        raise ValueError(
            f'a batch has images of different shapes {sorted(shapes)}: give the pipeline a fixed output size '
            "(LoadRandomResizedCrop or LoadResize), or use mmengine's pseudo_collate"
        )
    state = samples[-1].get('state')
    return dict(
        inputs=torch.stack([sample['inputs'] for sample in samples]),
        data_samples=[sample.get('data_samples') for sample in samples],
        loader=LoaderRecord(
            bad=[entry for sample in samples for entry in sample.get('bad', ())],
            samples=len(samples),
            worker=None if state is None else state['worker'],
            state=state,
            rejected=[reason for sample in samples for reason in sample.get('rejected', '').splitlines()],
        ),
    )
