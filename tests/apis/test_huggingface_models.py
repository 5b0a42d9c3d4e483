"""Models with the processing of transformers, from image to result, with its processor and classes as the judge."""

import importlib
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.apis import Pipeline, load_model
from sapiens.frames import to_published

from ..checkpoints.test_huggingface import SIZES, THEIRS, randomize
from ..integration import status_of
from .tiny import config, picture

transformers = importlib.import_module('transformers') if os.environ.get('CI') else pytest.importorskip('transformers')
IMAGES = [picture((90, 70)), picture((55, 81), 1), picture((300, 200), 2)]  # (h, w)
# x1, y1, x2, y2. One crop is upsampled, the others are downsampled. The second image has no boxes.
BOXES = [[[10, 5, 50, 65], [20, 20, 30, 32]], [], [[5, 30, 165, 250]]]


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Folders that transformers saved, by task."""
    from transformers.models.sapiens2.image_processing_sapiens2 import Sapiens2ImageProcessor

    made = {}
    for task, (name, count, head, _) in THEIRS.items():
        made[task] = tmp_path_factory.mktemp(task)
        if task in ('normal', 'pointmap'):  # a padded map is cut in pixels of the input, so it has its size
            head = dict(head, upsample_out_channels=[16, 8, 8, 8], upsample_kernel_sizes=[3] * 4)
        torch.manual_seed(0)
        network = getattr(transformers, name)(transformers.Sapiens2Config(**SIZES, num_labels=count, head_config=head))
        randomize(network)
        with torch.no_grad():  # maps above 0, and vectors away from 0: there the last digits do not decide
            network.decode_head.predictor.bias.add_(0 if task == 'matting' else 3)
            if task == 'pointmap':  # far from 0, where points are infinite
                network.scale_head.predictor.proj.bias.add_(2)
        network.save_pretrained(made[task])
        size = dict(height=64, width=48)
        Sapiens2ImageProcessor(size=size, do_pad=task in ('normal', 'pointmap')).save_pretrained(made[task])
    return made


def theirs(folder, task):
    """Their processor, and their model as a function of images and options."""
    from transformers.models.sapiens2.image_processing_sapiens2 import Sapiens2ImageProcessor

    processor = Sapiens2ImageProcessor.from_pretrained(folder)
    network = getattr(transformers, THEIRS[task][0]).from_pretrained(folder).eval()

    @torch.no_grad()
    def outputs(image, mirrored=None, **options):
        pixels = processor(image, return_tensors='pt', **options)['pixel_values']
        return network(pixels) if mirrored is None else network(pixels.flip(-1), flip_pairs=mirrored)

    return processor, outputs


def as_coco(boxes):
    return [[x, y, x2 - x, y2 - y] for x, y, x2, y2 in boxes]


@pytest.mark.parametrize('flip', [False, True])
def test_pose(folders, flip):
    processor, outputs = theirs(folders['pose'], 'pose')
    model = load_model(folders['pose'], device='cpu', processing='huggingface', flip_test=flip or None)
    pairs = [[index, other] for index, other in enumerate(model.skeleton.flip_indices.tolist()) if index < other]
    for image, boxes, found in zip(IMAGES, BOXES, model(IMAGES, boxes=BOXES), strict=True):
        assert len(found) == len(boxes)
        if not boxes:
            continue
        wanted, options = dict(boxes=[as_coco(boxes)]), {}
        if flip:
            options['outputs_flipped'] = outputs(
                image, mirrored=torch.tensor(pairs + [p[::-1] for p in pairs]), **wanted
            )
        output = outputs(image, **wanted)
        (people,) = processor.post_process_pose_estimation(output, **wanted, **options)
        output.heatmaps = output.heatmaps + 1e-5 * torch.randn(output.heatmaps.shape)
        (shaken,) = processor.post_process_pose_estimation(output, **wanted, **options)
        for index, (person, other) in enumerate(zip(people, shaken, strict=True)):
            # On maps of noise the refinement may divide by almost nothing: their own points tell where.
            sure = (person['keypoints'] - other['keypoints']).abs().amax(1) < 3e-3
            assert sure.float().mean() > 0.6
            np.testing.assert_allclose(found.scores[index], person['scores'], atol=1e-4)
            np.testing.assert_allclose(found.keypoints[index][sure], person['keypoints'][sure], atol=2e-2)
            np.testing.assert_allclose(found.boxes[index], person['bbox'])
        assert found.keypoints.std(1).min() > 1


def test_parts(folders):
    processor, outputs = theirs(folders['seg'], 'seg')
    model = load_model(folders['seg'], device='cpu', processing='huggingface', batch_size=2)
    for image, found in zip(IMAGES, model(IMAGES), strict=True):
        options = dict(target_sizes=[image.shape[:2]], return_segmentation_scores=True)
        (wanted,) = processor.post_process_semantic_segmentation(outputs(image), **options)
        best, second = wanted['segmentation_scores'].topk(2, 0).values
        sure = (best - second > 1e-4).numpy()
        np.testing.assert_array_equal(found.labels[sure], wanted['segmentation'][sure])
        assert sure.mean() > 0.99
        assert len(np.unique(found.labels)) > 1


def test_normals(folders):
    processor, outputs = theirs(folders['normal'], 'normal')
    model = load_model(folders['normal'], device='cpu', processing='huggingface', batch_size=2)
    for image, found in zip(IMAGES, model(IMAGES), strict=True):
        size = [image.shape[:2]]
        (wanted,) = processor.post_process_normal_estimation(outputs(image), source_sizes=size, target_sizes=size)
        np.testing.assert_allclose(found.published, wanted['normals'].permute(1, 2, 0), atol=1e-4)
        np.testing.assert_array_equal(to_published(found.published), found.normals)


@pytest.mark.parametrize('flip', [False, True])
def test_points(folders, flip):
    processor, outputs = theirs(folders['pointmap'], 'pointmap')
    model = load_model(
        folders['pointmap'], device='cpu', processing='huggingface', batch_size=2, flip_test=flip or None
    )
    for image, found in zip(IMAGES, model(IMAGES), strict=True):
        size, output = [image.shape[:2]], outputs(image)
        if flip:
            mirrored = outputs(np.ascontiguousarray(image[:, ::-1]))
            back = mirrored.pointmaps.flip(-1) * torch.tensor([-1.0, 1, 1]).view(3, 1, 1)
            output.pointmaps, output.scales = (output.pointmaps + back) / 2, (output.scales + mirrored.scales) / 2
        (wanted,) = processor.post_process_pointmap_estimation(output, source_sizes=size, target_sizes=size)
        # A mirrored image is padded on the other side where its padding is odd.
        np.testing.assert_allclose(found.points, wanted['pointmap'].permute(1, 2, 0), atol=0.05 if flip else 1e-4)
        # The image fits the input of 64 x 48 by one factor, in whole pixels.
        zoom = int(image.shape[1] * min(64 / image.shape[0], 48 / image.shape[1])) / image.shape[1]
        assert found.focal == pytest.approx(48 / output.scales.item() / zoom, rel=1e-4)


def test_mattes(folders):
    processor, outputs = theirs(folders['matting'], 'matting')
    model = load_model(folders['matting'], device='cpu', processing='huggingface', batch_size=2)
    for image, found in zip(IMAGES, model(IMAGES), strict=True):
        (wanted,) = processor.post_process_image_matting(outputs(image), [image.shape[:2]])
        np.testing.assert_allclose(found.alpha, wanted['alpha'][0], atol=1e-4)
        np.testing.assert_allclose(found.foreground, wanted['foreground'].permute(1, 2, 0), atol=1e-4)
        assert found.alpha.std() > 0.01


def test_the_default_is_the_published_processing(folders):
    """Each processing has its own numbers."""
    for task, name in dict(pose='scores', normal='normals', pointmap='points', matting='alpha').items():
        published, other = (
            getattr(load_model(folders[task], device='cpu', **options)(IMAGES[0]), name)
            for options in ({}, dict(processing='huggingface'))
        )
        assert np.abs(published - other).max() > 1e-4, task


def test_side_by_side_and_streams(folders):
    models = {task: load_model(folder, device='cpu', processing='huggingface') for task, folder in folders.items()}
    together = dict(
        zip('abc', (results for _, results in Pipeline(list(models.values())).stream(IMAGES)), strict=True)
    )
    for results, image in zip(together.values(), IMAGES, strict=True):
        # Alone a model runs on another number of threads, whose rounding decides ties of random weights.
        assert (results['seg'].labels != models['seg'](image).labels).mean() < 1e-4
        np.testing.assert_allclose(results['normal'].normals, models['normal'](image).normals, atol=1e-5)
        np.testing.assert_allclose(results['pose'].scores, models['pose'](image).scores, atol=1e-5)


def test_the_command(folders, tmp_path, capsys):
    Image.fromarray(IMAGES[0]).save(tmp_path / 'a.png')
    command = ('infer', 'all', tmp_path / 'a.png', '--model', *folders.values(), '--device', 'cpu')
    assert status_of(*command, '--out', tmp_path / 'out', '--processing', 'huggingface') == 0, capsys.readouterr()
    labels = load_model(folders['seg'], device='cpu', processing='huggingface')(IMAGES[0]).labels
    np.testing.assert_array_equal(np.load(tmp_path / 'out/seg/a_seg.npy'), labels)
    scores = json.loads((tmp_path / 'out/pose/a.json').read_text())['instance_info'][0]['keypoint_scores']
    model = load_model(folders['pose'], device='cpu', processing='huggingface')
    np.testing.assert_allclose(scores, model(IMAGES[0]).scores[0], atol=1e-4)
    capsys.readouterr()
    assert status_of(*command, '--out', tmp_path / 'out') == 2, 'results of another processing are not continued'
    assert 'seg/normal/pointmap/matting.processing was huggingface, is None' in capsys.readouterr().err
    status = status_of('infer', 'depth', tmp_path / 'a.png', '--model', 'depth/sapiens_tiny_synthetic-128x96.py', '--out',
                       tmp_path / 'other', '--processing', 'huggingface')  # fmt: skip
    assert (
        status == 2
        and "processing='huggingface' is for pose, seg, normal, pointmap, matting" in capsys.readouterr().err
    )


@pytest.mark.parametrize('size', [(1, 1), (1, 500), (500, 1), (3, 200)])
def test_images_of_extreme_sizes(folders, size):
    """Padded to the input such an image has less than a pixel in one direction: it keeps one."""
    image = picture(size)
    for task, folder in folders.items():
        result = load_model(folder, device='cpu', processing='huggingface')(image)
        values = dict(pose='scores', seg='labels', normal='normals', pointmap='points', matting='alpha')[task]
        assert np.isfinite(getattr(result, values)).all()
        assert task == 'pose' or getattr(result, values).shape[:2] == size


def test_a_config_of_ours(folders):
    """Its size and letterbox are those of the config; fewer keypoints, heatmaps and other types of numbers work."""
    model = load_model(
        config('pose308'), device='cpu', processing='huggingface', num_keypoints=17, heatmaps=True, dtype='bf16'
    )
    result = model(IMAGES[0], boxes=BOXES[0])
    assert result.keypoints.shape == (2, 17, 2) and result.heatmaps[0].shape[1:] == (32, 24)
    assert model.processor.size == (128, 96) and not model.processor.do_pad
    cfg = config('normal')
    next(step for step in cfg.val_pipeline if step['type'] == 'LoadResize')['keep_ratio'] = True
    letterboxed = load_model(cfg, device='cpu', processing='huggingface')
    assert letterboxed.processor.do_pad and letterboxed(IMAGES[1]).normals.shape == (55, 81, 3)
    mirrored = load_model(config('normal'), device='cpu', processing='huggingface', flip_test=True)
    assert mirrored(IMAGES[1]).normals.shape == (55, 81, 3)


def test_contradictions_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match=r"processing='theirs' is not one of \('published', 'huggingface'\)"):
        load_model(config('pose'), processing='theirs')
    with pytest.raises(
        ValueError, match="for pose, seg, normal, pointmap, matting, and the model is used for 'depth'"
    ):
        load_model(config('depth'), processing='huggingface', device='cpu')
    with pytest.raises(ValueError, match="crop='device'.*on the host"):
        load_model(config('pose'), processing='huggingface', device='cpu', crop='device')
    for file in folders['seg'].iterdir():
        if file.name != 'preprocessor_config.json':
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(FileNotFoundError, match=r'preprocessor_config\.json'):
        load_model(tmp_path, processing='huggingface', device='cpu')
    assert load_model(tmp_path, device='cpu').task == 'seg'
