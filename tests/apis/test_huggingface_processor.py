"""The processing of transformers, with its processor as the judge."""

import importlib
import itertools
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.apis.huggingface import ImageProcessor

transformers = importlib.import_module('transformers') if os.environ.get('CI') else pytest.importorskip('transformers')
SIZE = (64, 48)
BOXES = [[[10.0, 5.0, 40.0, 60.0], [20.0, 20.0, 10.0, 12.0]], [[5.0, 30.0, 60.0, 20.0]]]


def theirs(**options):
    from transformers.models.sapiens2.image_processing_sapiens2 import Sapiens2ImageProcessor

    return Sapiens2ImageProcessor(size=dict(height=SIZE[0], width=SIZE[1]), **options)


def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((90, 70, 3), (55, 81, 3))]


@pytest.mark.parametrize('do_pad', [False, True])
def test_whole_images(do_pad):
    expected = torch.cat([theirs(do_pad=do_pad)(image, return_tensors='pt')['pixel_values'] for image in images()])
    found = ImageProcessor(SIZE, do_pad=do_pad)(images())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    as_files = ImageProcessor(SIZE, do_pad=do_pad)([Image.fromarray(image) for image in images()])
    assert torch.equal(as_files, found)


def test_crops():
    expected = theirs()(images(), boxes=BOXES, return_tensors='pt')['pixel_values']
    torch.testing.assert_close(ImageProcessor(SIZE)(images(), BOXES), expected, atol=1e-3, rtol=0)


def test_labels():
    maps = [np.random.default_rng(1).integers(0, 5, image.shape[:2], dtype=np.uint8) for image in images()]
    expected = [
        theirs()(i, segmentation_maps=m, return_tensors='pt')['labels'] for i, m in zip(images(), maps, strict=True)
    ]
    assert torch.equal(ImageProcessor(SIZE).labels(maps, as_transformers=True), torch.cat(expected))
    two = [np.where(np.indices((90, 70))[1] < 35, 0, 9).astype(np.uint8)]
    assert set(ImageProcessor(SIZE).labels(two).unique().tolist()) == {0, 9}


def test_heatmaps():
    rng = np.random.default_rng(2)
    people = [
        [np.column_stack([rng.uniform(0, 90, (6, 2)), [2, 1, 0, 2, 2, 2]]).tolist() for _ in own] for own in BOXES
    ]
    expected = theirs()(images(), boxes=BOXES, keypoints=people, return_tensors='pt')
    heatmaps, weights = ImageProcessor(SIZE).heatmaps(people, BOXES)
    torch.testing.assert_close(heatmaps, expected['labels'], atol=1e-5, rtol=0)
    assert torch.equal(weights, expected['label_weights']) and set(weights.unique().tolist()) == {0, 1}


@pytest.mark.parametrize('sizes', [None, [(30, 20), (90, 70)]])
def test_segmentation(sizes):
    logits = torch.randn(2, 5, 16, 12, generator=torch.Generator().manual_seed(0))
    outputs = SimpleNamespace(logits=logits)
    expected = theirs().post_process_semantic_segmentation(outputs, target_sizes=sizes)
    found = ImageProcessor(SIZE).segmentation(logits, sizes)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    with_scores = theirs().post_process_semantic_segmentation(outputs, sizes, return_segmentation_scores=True)
    for (labels, scores), other in zip(
        ImageProcessor(SIZE).segmentation(logits, sizes, scores=True), with_scores, strict=True
    ):
        assert torch.equal(labels, other['segmentation'])
        torch.testing.assert_close(scores, other['segmentation_scores'])


@pytest.mark.parametrize(
    'options', [{}, dict(threshold=0.5), dict(kernel_size=5), dict(flipped=True), dict(sizes=True)]
)
def test_keypoints(options):
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(12.0), indexing='ij')
    centers = torch.rand(3, 7, 2, 1, 1, generator=generator) * torch.tensor([9.0, 13.0])[:, None, None] + 1
    heatmaps = torch.exp(-((x - centers[:, :, 0]) ** 2 + (y - centers[:, :, 1]) ** 2) / 8)
    heatmaps = heatmaps * torch.rand(3, 7, 1, 1, generator=generator)
    options = dict(options)
    ours, other = dict(options), dict(options)
    if ours.pop('flipped', None):
        ours['flipped'] = heatmaps.roll(1, -1)
        other = dict(outputs_flipped=SimpleNamespace(heatmaps=heatmaps.roll(1, -1)))
    if ours.pop('sizes', None):
        sizes = dict(source_sizes=[(90, 70), (55, 81)], target_sizes=[(180, 70), (110, 243)])
        ours, other = sizes, sizes
    found = ImageProcessor(SIZE).keypoints(heatmaps, BOXES, **ours)
    expected = theirs().post_process_pose_estimation(SimpleNamespace(heatmaps=heatmaps), boxes=BOXES, **other)
    assert [len(people) for people in found] == [2, 1]
    for one, two in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert set(one) == set(two) and torch.equal(one['labels'], two['labels'])
        for key in ('keypoints', 'scores', 'bbox'):
            torch.testing.assert_close(one[key], two[key], atol=2e-3, rtol=1e-4)


SOURCES, TARGETS = [(90, 70), (30, 60)], [(90, 70), (33, 61)]
PLACES = [{}, dict(source_sizes=SOURCES), dict(target_sizes=TARGETS), dict(source_sizes=SOURCES, target_sizes=TARGETS)]


@pytest.mark.parametrize('do_pad', [False, True])
@pytest.mark.parametrize('sizes', PLACES)
def test_normals(do_pad, sizes):
    outputs = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    expected = theirs(do_pad=do_pad).post_process_normal_estimation(SimpleNamespace(normals=outputs), **sizes)
    for one, other in zip(ImageProcessor(SIZE, do_pad=do_pad).normals(outputs, **sizes), expected, strict=True):
        torch.testing.assert_close(one, other['normals'], atol=1e-5, rtol=0)


@pytest.mark.parametrize('scales', [None, torch.tensor([[2.0], [0.5]])])
@pytest.mark.parametrize('sizes', PLACES)
def test_pointmaps(scales, sizes):
    outputs = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    expected = theirs(do_pad=True).post_process_pointmap_estimation(
        SimpleNamespace(pointmaps=outputs, scales=scales), **sizes
    )
    found = ImageProcessor(SIZE, do_pad=True).pointmaps(outputs, scales, **sizes)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other['pointmap'], atol=1e-5, rtol=0)


@pytest.mark.parametrize('backgrounds', ['none', 'one', 'each'])
@pytest.mark.parametrize('sizes', [None, TARGETS])
def test_matting(backgrounds, sizes):
    generator = torch.Generator().manual_seed(0)
    alphas = torch.rand(2, 1, *SIZE, generator=generator)
    foregrounds = torch.rand(2, 3, *SIZE, generator=generator) * alphas
    behind = dict(none=None, one=Image.fromarray(images()[0]), each=images())[backgrounds]
    outputs = SimpleNamespace(foregrounds=foregrounds, alphas=alphas)
    expected = theirs().post_process_image_matting(outputs, sizes, behind)
    found = ImageProcessor(SIZE).matting(foregrounds, alphas, sizes, behind)
    for one, other in zip(found, expected, strict=True):
        assert set(one) == {key for key, value in other.items() if value is not None}
        for key in ('foreground', 'alpha'):
            torch.testing.assert_close(one[key], other[key], atol=1e-6, rtol=0)
        if behind is not None:
            assert one['composite'].dtype == torch.uint8
            assert (one['composite'].int() - other['composite'].int()).abs().max() <= 1
            assert (one['composite'] == other['composite']).float().mean() > 0.999


def test_matting_needs_a_background_for_each_image():
    with pytest.raises(ValueError, match='1 backgrounds for 2 images'):
        ImageProcessor(SIZE).matting(torch.rand(2, 3, *SIZE), torch.rand(2, 1, *SIZE), backgrounds=images()[:1])


@pytest.mark.parametrize(
    ('given', 'boxes', 'message'),
    [
        (np.zeros((8, 8), np.uint8), None, r'found \(8, 8\) uint8'),
        (np.zeros((8, 8, 3), np.float32), None, r'found \(8, 8, 3\) float32'),
        (np.zeros((8, 8, 4), np.uint8), None, r'found \(8, 8, 4\) uint8'),
        (images()[0], [], '0 lists of boxes for 1 images'),
        (images()[0], [[[0, 0, np.nan, 5]]], 'expected x, y, w, h, finite'),
        (images()[0], [[0, 0, 5, 5]], 'expected x, y, w, h, finite'),
    ],
)
def test_impossible_inputs(given, boxes, message):
    with pytest.raises(ValueError, match=message):
        ImageProcessor(SIZE)([given], boxes)


def test_their_file(tmp_path):
    theirs(do_pad=True, keypoint_heatmap_sigma=2.0).save_pretrained(tmp_path)
    made = ImageProcessor.from_folder(tmp_path)
    assert (made.size, made.do_pad, made.heatmap_sigma) == (SIZE, True, 2.0)
    theirs(do_normalize=False).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='do_normalize=False, expected True'):
        ImageProcessor.from_folder(tmp_path)
    for change, message in (
        (dict(image_mean=[0.5, 0.5, 0.5]), r'image_mean=.*expected \[0.485, 0.456, 0.406\]'),
        (dict(image_mean=[0.485, 0.456]), r'image_mean=.*expected \[0.485, 0.456, 0.406\]'),
        (dict(image_std=[0, 0, 0]), r'image_std=.*expected \[0.229, 0.224, 0.225\]'),
        (dict(rescale_factor=1.0), r'rescale_factor=1.0, expected \[0.003922\]'),
    ):
        theirs().save_pretrained(tmp_path)
        path = tmp_path / 'preprocessor_config.json'
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ValueError, match=message):
            ImageProcessor.from_folder(tmp_path)
