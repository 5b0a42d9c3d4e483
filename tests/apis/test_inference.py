import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.apis import load_model
from sapiens.apis.inputs import find_inputs
from sapiens.apis.loading.load_model import inference_task
from sapiens.apis.pipeline import Batcher, Job, run
from sapiens.datasets.base import build_pipeline
from sapiens.datasets.transforms import BadImage
from sapiens.metainfo import convert_keypoints, get_skeleton
from sapiens.metainfo.goliath308 import WHOLEBODY_HANDS

from .tiny import ARCH, SIZES, config, lively, picture, write_pictures


@pytest.fixture(scope='module')
def models():
    """One model of each kind with non-trivial outputs."""
    made = {}

    def get(kind, **options):
        key = kind, tuple(sorted(options.items()))
        if key not in made:
            made[key] = load_model(config(kind), device='cpu', **options)
            lively(made[key].network)
        return made[key]

    return get


BOXES = [[[10, 5, 70, 110]], [[0, 0, 60, 60], [100, 3, 190, 62]], [], [[-20, 10, 50, 120]]]


def test_pose_is_that_of_the_evaluation(models, tmp_path):
    """The numbers equal those of the pipeline and model of the config."""
    (path,) = write_pictures(tmp_path, SIZES[:1])
    model = models('pose')
    box = np.array([[10, 5, 70, 110]], np.float32)
    found = model(path, boxes=box)
    pipeline = build_pipeline(config('pose').val_pipeline)
    packed = pipeline(dict(img_path=str(path), bbox=box, bbox_score=np.ones(1, np.float32), sample_idx=0))
    inputs = model.network.data_preprocessor.normalize(packed['inputs'][None])
    expected = model.network.predict(inputs, [packed['data_samples']])[0].pred_instances
    np.testing.assert_array_equal(found.keypoints, expected.keypoints)
    np.testing.assert_array_equal(found.scores, expected.keypoint_scores)
    assert found.keypoints.std(1).min() > 1, 'a model that says the same of every keypoint proves nothing'
    assert found.image.shape == (120, 90, 3) and found.path == str(path) and found.task == 'pose'


@pytest.mark.parametrize('batch_size', [2, 8])
def test_people_of_several_images_share_batches(models, tmp_path, batch_size):
    paths = write_pictures(tmp_path)
    together = models('pose', batch_size=batch_size)(paths, boxes=BOXES)
    assert [len(result) for result in together] == [1, 2, 0, 1]
    assert together[2].keypoints.shape == (0, 17, 2) and together[2].boxes.shape == (0, 4)
    for path, boxes, result in zip(paths, BOXES, together, strict=True):
        alone = models('pose', batch_size=1)(path, boxes=boxes)
        np.testing.assert_allclose(result.keypoints, alone.keypoints, atol=1e-3)
        np.testing.assert_allclose(result.scores, alone.scores, atol=1e-6)
        np.testing.assert_array_equal(result.boxes, np.reshape(boxes, (-1, 4)))
        assert result.path == str(path)


def test_a_filled_up_batch_changes_nothing(models, tmp_path):
    paths = write_pictures(tmp_path)
    model = load_model(config('pose'), device='cpu', batch_size=8)
    lively(model.network)
    expected = model(paths, boxes=BOXES)
    seen = []
    forward = model.network.backbone.forward
    model.network.backbone.forward = lambda inputs: (seen.append(len(inputs)), forward(inputs))[1]
    model.fixed_batch = True
    for result, before in zip(model(paths, boxes=BOXES), expected, strict=True):
        np.testing.assert_allclose(result.keypoints, before.keypoints, atol=1e-3)
    assert set(seen) == {8}


@pytest.mark.parametrize('kind', ['seg', 'depth', 'normal'])
def test_dense_results_have_the_size_of_their_image(models, tmp_path, kind):
    paths = write_pictures(tmp_path)
    model = models(kind)
    results = model(paths)
    pipeline = build_pipeline([step for step in config(kind).val_pipeline if step['type'] != 'LoadLabels'])
    for path, size, result in zip(paths, SIZES, results, strict=True):
        values = {'seg': 'labels', 'depth': 'depth', 'normal': 'normals'}[kind]
        found = getattr(result, values)
        assert found.shape[:2] == size
        packed = pipeline(dict(img_path=str(path), sample_idx=0))
        inputs = model.network.data_preprocessor.normalize(packed['inputs'][None])
        sample = model.network.predict(inputs, [packed['data_samples']])[0]
        if kind == 'seg':
            assert found.dtype == np.uint8 and len(np.unique(found)) > 1
            assert (found == sample.pred_sem_seg.numpy()).mean() > 0.999
        elif kind == 'depth':
            np.testing.assert_allclose(found, sample.pred_depth[0], atol=1e-5)
            assert result.relative
        else:
            difference = np.abs(found - sample.pred_normal.permute(1, 2, 0).numpy())
            # Rounding, which the size of a batch changes, decides the direction of an output that is almost 0.
            assert (difference < 1e-5).mean() > 0.999 and difference.max() < 1e-3
            np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize('crop', ['host', 'device'])
def test_results_of_a_letterboxed_input_lie_on_the_image(crop):
    """The input shows the image between black bars. The result is that of its part of the input."""
    cfg = config('depth')
    next(step for step in cfg.val_pipeline if step['type'] == 'LoadResize')['keep_ratio'] = True
    model = load_model(cfg, device='cpu', crop=crop)
    lively(model.network)
    image = picture((40, 96))  # of the input's width, so 44 rows above and below are black
    result = model(image)
    padded = np.zeros((128, 96, 3), np.uint8)
    padded[44:84] = image
    whole = load_model(config('depth'), device='cpu')
    whole.network.load_state_dict(model.network.state_dict())
    np.testing.assert_allclose(result.depth, whole(padded).depth[44:84], atol=1e-5)


def test_features_of_any_model(models):
    image = picture()
    features = models('features')(image).features
    assert features.shape == (32, 8, 8) and features.dtype == np.float32 and features.std() > 0
    of_pose = load_model(config('pose'), task='features', device='cpu')
    assert of_pose(image).features.shape == (32, 8, 6)
    half = load_model(config('features'), device='cpu', dtype='fp16')
    half.network.load_state_dict(models('features').network.state_dict())
    found = half(image).features
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, features, atol=0.1)


def test_accepted_kinds_of_images(models, tmp_path):
    model, image = models('depth'), picture()
    Image.fromarray(image).save(tmp_path / 'a.png')
    expected = model(image).depth
    for given in (tmp_path / 'a.png', str(tmp_path / 'a.png'), Image.fromarray(image), f'file://{tmp_path}/a.png'):
        np.testing.assert_array_equal(model(given).depth, expected)
    assert isinstance(model([image]), list)
    for wrong in (image[..., 0], image.astype(np.float32), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match='uint8 RGB'):
            model(wrong)


def test_a_bad_file_is_named_and_a_stream_goes_on(models, tmp_path):
    paths = write_pictures(tmp_path)
    paths[1].write_bytes(b'nothing')
    model = models('depth', batch_size=2)
    with pytest.raises(BadImage, match=r'1\.png: not an image'):
        model(paths)
    found = dict(model.stream(iter(paths)))
    assert set(found) == set(paths)
    assert [isinstance(found[path], BadImage) for path in paths] == [False, True, False, False]
    # Several batches share the cores, one image has them all: sums are rounded in another order.
    np.testing.assert_allclose(found[paths[3]].depth, model(paths[3]).depth, rtol=1e-5, atol=1e-6)


def test_a_detector_is_asked_where_no_boxes_are_given(models, tmp_path):
    paths = write_pictures(tmp_path)
    asked = []

    def detector(images):
        asked.append(len(images))
        return [(np.array([[1, 2, 30, 40]], np.float32), np.array([0.5], np.float32)) for _ in images]

    model = load_model(config('pose'), device='cpu', detector=detector, batch_size=3)
    results = model(paths)
    assert asked == [3, 1]
    assert all(result.boxes.tolist() == [[1, 2, 30, 40]] and result.box_scores.tolist() == [0.5] for result in results)
    assert model(paths[0], boxes=[3, 4, 50, 60]).boxes.tolist() == [[3, 4, 50, 60]] and asked == [3, 1]
    whole = models('pose')(paths[1])
    assert whole.boxes.tolist() == [[0, 0, 200, 64]], 'without either a person is the whole image'


@pytest.mark.parametrize('count, names', [(17, 'coco17'), (133, 'wholebody133')])
def test_fewer_keypoints_of_a_larger_model(models, count, names):
    image = picture()
    whole, part = models('pose308')(image), models('pose308', num_keypoints=count)(image)
    assert part.skeleton.name == names and len(part.skeleton) == count
    hands = WHOLEBODY_HANDS if count == 133 else None
    points, scores = convert_keypoints(whole.keypoints, whole.scores, 'goliath308', names, hands)
    np.testing.assert_allclose(part.keypoints, points, atol=1e-3)
    np.testing.assert_allclose(part.scores, scores, atol=1e-6)
    assert (np.isnan(points).any()) == (count == 133), 'the outline of the face has no partner'


def test_keypoints_of_another_skeleton(models, tmp_path):
    image = picture()
    whole, part = models('pose308')(image), models('pose308', keypoints_as='openpose25')(image)
    assert part.skeleton is get_skeleton('openpose25') and part.keypoints.shape == (1, 25, 2)
    points, scores = convert_keypoints(whole.keypoints, whole.scores, 'goliath308', 'openpose25')
    np.testing.assert_allclose(part.keypoints, points, atol=1e-3)
    np.testing.assert_allclose(part.scores, scores, atol=1e-6)
    assert models('pose308', keypoints_as='goliath308')(image).keypoints.shape == (1, 308, 2)
    joints = models('pose', keypoints_as='smplx127')(image)
    assert np.isfinite(joints.keypoints[0]).all(1).sum() == 12 + 5 + 1 and np.isnan(joints.keypoints[0, 3]).all()
    joints.save(tmp_path, name='person')
    (document,) = (json.loads(path.read_text()) for path in tmp_path.rglob('*.json'))
    assert document['meta_info']['dataset_name'] == 'smplx127'
    assert document['instance_info'][0]['keypoints'][3] == [None, None]
    assert document['instance_info'][0]['keypoint_scores'][3] == 0


def test_heatmaps_lie_on_the_image():
    """Without refinement a keypoint is its highest cell."""
    model = load_model(
        config('pose'), device='cpu', heatmaps=True, flip_test=False, cfg_options={'model.codec.refine': 'none'}
    )
    lively(model.network)
    result = model(picture(), boxes=[[10, 20, 80, 100], [0, 0, 50, 50]])
    assert len(result.heatmaps) == 2 and result.heatmaps[0].shape == (17, 32, 24)
    for heatmaps, transform, points in zip(result.heatmaps, result.heatmap_transforms, result.keypoints, strict=True):
        cells = np.array([np.unravel_index(values.argmax(), values.shape)[::-1] for values in heatmaps])
        np.testing.assert_allclose(cells @ transform[:, :2].T + transform[:, 2], points, atol=1e-3)


@pytest.mark.parametrize('box', [[10, 5, 70, 110], [-30, -10, 50, 60], [60, 80, 130, 190]])
def test_crops_of_the_device_are_those_of_the_host(models, box):
    prepare, image = models('pose').preprocess, picture()
    (sample,) = prepare.samples(image, np.array([box]), [1.0])
    host = prepare.on_host(image, sample).float()
    device = prepare.on_device(torch.from_numpy(image).permute(2, 0, 1), [sample])[0]
    assert host.shape == device.shape == (3, 128, 96) and host.std() > 10
    # OpenCV counts in 1/32 of a pixel.
    assert (host - device).abs().max() <= 4 and (host - device).abs().mean() < 0.6


@pytest.mark.parametrize('size', [(40, 30), (300, 200), (128, 96)])
def test_resizing_on_the_device_is_that_of_the_host(models, size):
    prepare, image = models('seg').preprocess, picture(size)
    (sample,) = prepare.samples(image)
    host = prepare.on_host(image, sample).float()
    device = prepare.on_device(torch.from_numpy(image).permute(2, 0, 1), [sample])[0]
    assert host.shape == device.shape and (host - device).abs().max() <= 1


def test_keypoints_do_not_depend_on_where_the_crop_was_made(models, tmp_path):
    paths = write_pictures(tmp_path)
    host = models('pose')(paths, boxes=BOXES)
    model = load_model(config('pose'), device='cpu', crop='device', batch_size=3)
    lively(model.network)
    for one, other in zip(host, model(paths, boxes=BOXES), strict=True):
        assert one.keypoints.shape == other.keypoints.shape
        if len(one):
            assert np.median(np.abs(one.keypoints - other.keypoints)) < 0.5


@pytest.mark.parametrize(
    'kind, options, text',
    [
        ('seg', dict(task='depth'), "is for 'seg'"),
        ('seg', dict(detector='whole-image'), 'detector: for pose only'),
        ('seg', dict(num_keypoints=17), 'num_keypoints: for pose only'),
        ('pose', dict(dtype='half'), "dtype='half' is not one of"),
        ('pose', dict(batch_size=0), 'expected 1 or more'),
        ('pose', dict(crop='gpu'), "crop='gpu'"),
        ('pose', dict(num_keypoints=133), 'can give 17'),
        ('seg', dict(keypoints_as='coco17'), 'keypoints_as: for pose only'),
        ('pose', dict(keypoints_as='openpose52'), "did you mean 'openpose25'"),
        ('pose', dict(keypoints_as='openpose25', num_keypoints=17), 'give one of them'),
        ('pose', dict(detector='yolo'), "detector 'yolo'"),
        ('features', dict(flip_test=True), 'flip_test'),
    ],
)
def test_contradictory_arguments_are_refused(kind, options, text):
    with pytest.raises(ValueError, match=text):
        load_model(config(kind), device='cpu', **options)


def test_wrong_boxes_are_refused(models):
    with pytest.raises(ValueError, match='sees the whole image'):
        models('seg')(picture(), boxes=[[0, 0, 5, 5]])
    for boxes in ([[0, 0, 5]], [[0, 0, np.nan, 5]]):
        with pytest.raises(ValueError, match='expected \\(N, 4\\)'):
            models('pose')(picture(), boxes=boxes)
    with pytest.raises(ValueError, match='boxes for 1 images'):
        models('pose')([picture(), picture()], boxes=[[[0, 0, 5, 5]]])


def test_the_task_follows_from_the_config():
    for kind in ('pose', 'seg', 'depth', 'normal', 'features'):
        assert inference_task(config(kind)) == kind
    cfg = config('pose')
    cfg.model.type = 'Other'
    with pytest.raises(ValueError, match='Other'):
        inference_task(cfg)


@pytest.mark.parametrize('batch_size', [1, 3, 8])
def test_several_models_finish_each_image_once(models, tmp_path, batch_size):
    write_pictures(tmp_path)
    (tmp_path / 'bad.png').write_bytes(b'')
    predictors = {kind: models(kind, batch_size=batch_size) for kind in ('pose', 'seg', 'depth')}
    jobs = list(run(predictors, find_inputs(tmp_path)))
    assert sorted(job.item.name for job in jobs) == ['0', '1', '2', '3', 'bad']
    for job in jobs:
        assert set(job.results) == (set() if job.error else set(predictors)) and not job.units


def test_images_without_people_do_not_pile_up():
    class Fake:
        batch_size = 4

        def forward(self, units):
            return ['found'] * len(units)

        def result(self, image, path, outputs):
            return outputs

    batcher, finished, most = Batcher('pose', Fake()), [], 0
    for number in range(100):
        job = Job(item=type('Item', (), dict(source=''))(), image=number)
        job.units['pose'] = [('sample', None)] if number == 0 else []
        finished += batcher.add(job)
        most = max(most, len(batcher.open))
    finished += batcher.flush()
    assert [job.image for job in finished] == list(range(100))
    assert finished[0].results['pose'] == ['found'] and finished[1].results['pose'] == []
    assert most <= 4 * Fake.batch_size


def test_batches_are_computed_side_by_side_and_images_keep_their_order():
    """Of two concurrent batches the first is slower. A third waits until one is finished."""
    first_may_go, running, most = threading.Event(), [], []

    class Fake:
        batch_size = 2

        def forward(self, units):
            running.append(units)
            most.append(len(running))
            if units[0][0] == 0:
                assert first_may_go.wait(10)
            else:
                first_may_go.set()
            running.remove(units)
            return [f'{image} found' for image, _, _ in units]

        def result(self, image, path, outputs):
            return outputs

    with ThreadPoolExecutor(2) as pool:
        batcher, finished = Batcher('pose', Fake(), pool, 2), []
        for number in range(7):
            job = Job(item=type('Item', (), dict(source=''))(), image=number)
            job.units['pose'] = [('sample', None)]
            finished += batcher.add(job)
            assert len(batcher.flying) <= 2
        finished += batcher.flush()
    assert [job.results['pose'] for job in finished] == [[f'{number} found'] for number in range(7)]
    assert max(most) == 2


def test_batches_divide_the_threads_and_restore_them(models, tmp_path, monkeypatch):
    write_pictures(tmp_path)
    model, before, seen = models('depth', batch_size=1), torch.get_num_threads(), []
    forward = model.forward

    def watched(units):
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return forward(units)

    monkeypatch.setattr(model, 'forward', watched)
    torch.set_num_threads(12)
    try:
        assert len(list(run({'depth': model}, find_inputs(tmp_path)))) == 4
        assert torch.get_num_threads() == 12
    finally:
        torch.set_num_threads(before)
    assert {count for _, count in seen} == {3}, 'four batches of three threads each'
    assert all(name.startswith('sapiens-compute') for name, _ in seen)


def test_the_arch_of_the_tests_is_used(models):
    assert sum(parameter.numel() for parameter in models('pose').network.backbone.parameters()) < 1e5, ARCH


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('g++'), reason='torch.compile needs a compiler: g++')
def test_a_compiled_model_predicts_the_same_and_compiles_once(models):
    from torch._dynamo.utils import counters

    images = [picture(size, index) for index, size in enumerate(SIZES)]
    compiled = load_model(config('depth'), device='cpu', batch_size=3, compile=True)
    lively(compiled.network)
    counters.clear()
    for before, after in zip(models('depth')(images), compiled(images), strict=True):
        np.testing.assert_allclose(after.depth, before.depth, atol=1e-4)
    assert counters['stats']['unique_graphs'] == 2, 'encoder and head, though 4 images are a batch of 3 and one of 1'
