"""Pointmaps and mattes with the processing of transformers, with its processor as the judge."""

import importlib
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sapiens.apis import load_model

from .test_sapiens2_results import tiny_config
from .tiny import config, lively, picture

transformers = importlib.import_module('transformers') if os.environ.get('CI') else pytest.importorskip('transformers')
IMAGES = [picture((90, 70)), picture((55, 81), 1), picture((300, 200), 2)]  # (h, w)


def load(task, letterboxed=True, **options):
    cfg = tiny_config(task)
    if not letterboxed:
        cfg.val_pipeline = [dict(type='LoadResize', size=(96, 128))]
    model = load_model(cfg, device='cpu', processing='huggingface', **options)
    lively(model.network)
    if task == 'pointmap':
        last = model.network.head.scale_final_layer[-1]
        last.weight.data.mul_(0.1)
        last.bias.data.fill_(1.0)
    return model


def theirs(model, image, flip=False, letterboxed=True):
    """Their processor, and outputs of our network for its input, as large as the input."""
    from transformers.models.sapiens2.image_processing_sapiens2 import Sapiens2ImageProcessor

    processor = Sapiens2ImageProcessor(size=dict(height=128, width=96), do_pad=letterboxed)
    pixels = processor(image, return_tensors='pt')['pixel_values']
    output = model.network(pixels)
    if flip:
        other = model.network.task.mirrored(model.network(pixels.flip(-1)))
        output = {name: (value + other[name]) / 2 for name, value in output.items()}
    resize = torch.nn.functional.interpolate
    return processor, {
        name: resize(value, (128, 96), mode='bilinear') if value.ndim == 4 and name == 'pointmap' else value
        for name, value in output.items()
    }


@pytest.mark.parametrize(('flip', 'letterboxed'), [(False, True), (True, True), (False, False)])
def test_points(flip, letterboxed):
    model = load('pointmap', letterboxed, flip_test=flip or None, batch_size=2)
    for image, found in zip(IMAGES, model(IMAGES), strict=True):
        processor, output = theirs(model, image, flip, letterboxed)
        sizes = [image.shape[:2]]
        outputs = SimpleNamespace(pointmaps=output['pointmap'], scales=output['scale'][:, None])
        (wanted,) = processor.post_process_pointmap_estimation(outputs, sizes, sizes, do_remove_padding=letterboxed)
        (points,) = (value for value in wanted.values() if value.ndim == 3)
        np.testing.assert_allclose(found.points, points.permute(1, 2, 0), atol=1e-4)
        # The input is 96 pixels wide. transformers cuts the sides of the image in it to whole pixels.
        height, width = sizes[0]
        shown = int(min(128 / height, 96 / width) * width) if letterboxed else 96
        focal = 96 / float(output['scale']) * width / shown
        assert found.focal == found.estimated_focal == pytest.approx(focal, rel=1e-5)


def test_a_known_camera():
    model = load('pointmap', focal=200.0, rays='project')
    result = model(IMAGES[0])
    assert result.focal == 200 and result.focal_source == 'given' and result.rays == 'project'


@pytest.mark.parametrize('flip', [False, True])
def test_mattes(flip):
    model = load('matting', letterboxed=False, flip_test=flip or None, batch_size=2)
    for image, found in zip(IMAGES, model(IMAGES), strict=True):
        processor, output = theirs(model, image, flip, letterboxed=False)
        outputs = SimpleNamespace(foregrounds=output['foreground'], alphas=output['alpha'])
        (wanted,) = processor.post_process_image_matting(outputs, target_sizes=[image.shape[:2]])
        np.testing.assert_allclose(found.alpha, wanted['alpha'].squeeze(), atol=1e-5)
        np.testing.assert_allclose(found.foreground, wanted['foreground'].permute(1, 2, 0), atol=1e-5)


def test_stretched_normals_keep_all_of_their_map():
    model = load_model(config('normal'), device='cpu', processing='huggingface')
    lively(model.network)
    image = IMAGES[1]
    found = model(image)
    _, output = theirs(
        SimpleNamespace(network=lambda pixels: dict(normal=model.network(pixels))), image, letterboxed=False
    )
    unit = torch.nn.functional.normalize(
        torch.nn.functional.interpolate(output['normal'], (128, 96), mode='bilinear'), dim=1
    )
    wanted = torch.nn.functional.interpolate(unit, image.shape[:2], mode='bilinear')[0]
    np.testing.assert_allclose(found.published, wanted.permute(1, 2, 0), atol=1e-4)
