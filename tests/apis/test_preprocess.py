"""Inputs made on a device equal those of the transforms on the host."""

import numpy as np
import pytest
import torch

from sapiens.apis.preprocess import build_input

SMOOTH = np.stack([np.sin(np.indices((90, 70)).sum(0) / k) * 100 + 128 for k in (7, 11, 5)], -1).astype(np.uint8)


def both(step, boxes=None):
    made = build_input([step])
    scores = None if boxes is None else np.ones(len(boxes))
    samples = made.samples(SMOOTH, boxes, scores)
    device = made.on_device(torch.from_numpy(SMOOTH).permute(2, 0, 1), samples)
    return torch.stack([made.on_host(SMOOTH, sample) for sample in samples]).float(), device


@pytest.mark.parametrize('interpolation', ['bilinear', 'published'])
@pytest.mark.parametrize('kind', ['LoadResize', 'LoadLetterbox'])
@pytest.mark.parametrize('size', [(35, 30), (96, 128)])
def test_whole_images(kind, size, interpolation):
    host, device = both(dict(type=kind, size=size, interpolation=interpolation))
    assert host.shape == device.shape == (1, 3, *size[::-1])
    assert (host - device).abs().mean() < 0.7 and (host - device).abs().max() <= 6


@pytest.mark.parametrize('interpolation', ['bilinear', 'published'])
def test_crops_of_both_kinds_in_one_batch(interpolation):
    boxes = np.array([[5, 5, 65, 85], [20, 20, 40, 50]], np.float32)
    step = dict(type='LoadPerson', size=(48, 64), interpolation=interpolation)
    host, device = both(step, boxes)
    assert (host - device).abs().mean() < 1 and (host - device)[:, :, 4:-4, 4:-4].abs().max() <= 6
    plain, _ = both(dict(step, interpolation='bilinear'), boxes)
    assert torch.equal(plain[0], host[0])  # reduced
    assert torch.equal(plain[1], host[1]) == (interpolation == 'bilinear')  # upsampled


def test_pipelines_without_a_loader():
    with pytest.raises(ValueError, match='needs LoadPerson .*, LoadResize or LoadLetterbox'):
        build_input([dict(type='PackDense')])
