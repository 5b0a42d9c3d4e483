"""Detection of people in inference: predictor, tiles, results, the detector for pose, export."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config

from sapiens.apis import PersonResult, load_model
from sapiens.apis.detectors import BoxesFile, build_detector
from sapiens.apis.export import ExportOptions, export_model, load_export
from sapiens.apis.export.compare import compare, make_reference
from sapiens.apis.export.images import load_images
from sapiens.apis.export.options import TOLERANCES
from sapiens.apis.inputs import Item
from sapiens.apis.predictors.person import PersonPredictor, Window, tile_windows
from sapiens.apis.preprocess import WholeInput
from sapiens.checkpoints.recognition import recognise
from sapiens.datasets.transforms import LoadLetterbox
from sapiens.registry import MODELS

from ..integration import status_of
from .tiny import ARCH, lively, picture, write_pictures

SIZE = (96, 64)  # (w, h)
MODEL = dict(
    type='BoxEstimator',
    backbone=dict(type='SapiensViT', arch=ARCH, img_size=SIZE[::-1]),
    head=dict(type='CenterHead', reduced_channels=16, deconv_channels=(8, 8), conv_channels=(8,)),
    test_cfg=dict(max_people=20),
)


def config(**changes):
    return Config(
        dict(
            model=dict(MODEL, **changes), val_pipeline=[dict(type='LoadLetterbox', size=SIZE), dict(type='PackBoxes')]
        )
    )


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    model = lively(MODELS.build(config().model))
    with torch.no_grad():  # boxes of a few cells
        model.head.conv_center.weight.mul_(0.5)
        model.head.conv_center.bias.copy_(torch.tensor([0.5, 1, 1, 1, 1]))
    path = tmp_path_factory.mktemp('person') / 'person.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(task='person')), path)
    return str(path)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp('config') / 'person.py'
    config().dump(str(path))
    return str(path)


def test_results_are_boxes_in_the_image(weights):
    model = load_model(config(), weights, device='cpu')
    assert model.task == 'person' and recognise(model.network.state_dict(), dict(task='person'))['task'] == 'person'
    images = [picture((120, 90)), picture((64, 200), 1)]
    results = model(images)
    for image, found in zip(images, results, strict=True):
        assert isinstance(found, PersonResult) and len(found) == len(found.scores) > 0
        height, width = image.shape[:2]
        assert (found.boxes >= 0).all() and (found.boxes <= [width, height, width, height]).all()
        assert (found.scores >= 0.3).all() and (np.diff(found.scores) <= 0).all()
        assert found.draw().shape == image.shape and (found.draw() != image).any()
        assert f'{len(found)} people' in repr(found)
    best = float(results[0].scores[0])
    strict = load_model(config(), weights, device='cpu', box_threshold=best)
    assert len(strict(images[0])) == 1
    assert len(load_model(config(), weights, device='cpu', nms_threshold=0.0)(images[0])) < len(results[0])
    on_device = load_model(config(), weights, device='cpu', crop='device', tiles=2)(images)
    on_host = load_model(config(), weights, device='cpu', tiles=2)(images)
    for one, other in zip(on_device, on_host, strict=True):  # they differ by rounding in a few pixels
        assert abs(len(one) - len(other)) <= 3
        np.testing.assert_allclose(one.scores[:5], other.scores[:5], atol=0.02)
    for options, text in ((dict(box_threshold=2), 'box_threshold=2'), (dict(tiles=0), 'tiles=0: expected')):
        with pytest.raises(ValueError, match=text):
            load_model(config(), weights, device='cpu', **options)
    with pytest.raises(ValueError, match='num_keypoints: for pose only'):
        load_model(config(), weights, device='cpu', num_keypoints=17)


def test_beside_another_task_on_one_encoder(weights):
    """The task gives the same boxes alone, and refuses tiles together."""
    pipeline = config().val_pipeline
    person = {key: value for key, value in MODEL.items() if key != 'backbone'}
    depth = dict(type='DenseEstimator', head=dict(type='DenseHead', deconv_channels=(8,), conv_channels=(8,)),
                 task=dict(type='DepthTask'))  # fmt: skip
    loading = [*pipeline[:1], dict(type='PackDense')]
    cfg = Config(
        dict(
            model=dict(type='MultiTaskEstimator', backbone=MODEL['backbone'], tasks=dict(person=person, depth=depth)),
            val_dataloader=dict(
                dataset=dict(datasets=dict(person=dict(pipeline=pipeline), depth=dict(pipeline=loading)))
            ),
        )
    )
    torch.manual_seed(0)
    image, both = picture((120, 90)), load_model(cfg, device='cpu', box_threshold=0.0)
    lively(both.network)
    results = both(image)
    alone = PersonPredictor(
        'person', both.network.tasks['person'], WholeInput(LoadLetterbox(SIZE)), box_threshold=0.0
    )(image)
    np.testing.assert_allclose(results['person'].boxes, alone.boxes, atol=1e-3)
    assert set(results) == {'person', 'depth'} and len(results['person']) > 3
    assert results['person'].boxes.shape == (len(results['person']), 4)
    with pytest.raises(ValueError, match='tiles=2: a model of several tasks looks at the whole image'):
        load_model(cfg, device='cpu', tiles=2)


def test_tiles_cover_the_image_and_overlap():
    windows = tile_windows((100, 61), 3)
    assert windows[0] == Window(0, 0, 100, 61, (100, 61)) and len(windows) == 10
    covered = np.zeros((61, 100), int)
    for one in windows[1:]:
        covered[one.y : one.y + one.height, one.x : one.x + one.width] += 1
    assert covered.min() == 1 and covered.max() == 4
    assert {(one.width, one.height) for one in windows[1:]} == {(41, 25)}
    assert len(tile_windows((5, 5), 1)) == 1


def test_boxes_at_an_inner_edge_of_a_tile_are_left_out():
    window = Window(50, 0, 50, 60, (200, 60))
    boxes = np.array([[51, 0, 70, 60], [60, 5, 99, 20], [60, 0, 90, 60], [55, 1, 95, 59]], np.float32)
    assert window.is_within(boxes, 2.0).tolist() == [False, False, True, True]
    assert Window(0, 0, 200, 60, (200, 60)).is_within(boxes, 2.0).all()


def test_tiles_find_small_people(weights):
    """Boxes of tiles are in pixels of the image: those of an image that is a tile are those of the tile."""
    model = load_model(config(), weights, device='cpu', tiles=2)
    image = picture((150, 240))
    units = model.units(image, None, None)
    assert len(units) == 5
    alone = load_model(config(), weights, device='cpu')
    window = units[4][0].metainfo['window']
    (found,) = model.read(
        model.network.predict(model.normalize(units[4][1][None]), [units[4][0]], score_threshold=0.3)
    )
    part = np.ascontiguousarray(image[window.y : window.y + window.height, window.x : window.x + window.width])
    boxes = alone(part).boxes + np.array([window.x, window.y] * 2)
    inside = window.is_within(boxes, 2 / np.hypot(*units[4][0].warp_matrix[:, 0]))
    np.testing.assert_allclose(np.sort(found[0], 0), np.sort(boxes[inside], 0), atol=1e-3)


def test_a_run_writes_boxes_that_pose_takes(tmp_path, weights, written):
    paths = write_pictures(tmp_path / 'photos')
    out = tmp_path / 'out'
    options = ('--model', written, '--checkpoint', weights, '--device', 'cpu')
    assert status_of('infer', 'person', tmp_path / 'photos', '--out', out, *options, '--tiles', '2') == 0
    names = {path.name for path in out.iterdir()}
    assert {'people.coco.json', *(f'{i}.json' for i in range(4)), *(f'{i}.jpg' for i in range(4))} <= names
    people = json.loads((out / '0.json').read_text())['instance_info']
    boxes = BoxesFile(out / 'people.coco.json')
    found = boxes(Item(str(paths[0]), '0'), picture((120, 90), 0))
    np.testing.assert_allclose(found[0], [one['bbox'] for one in people], atol=2e-3)
    np.testing.assert_allclose(found[1], [one['bbox_score'] for one in people], atol=1e-4)
    (out / '0.json').write_text('{"instance_info": [{"bbox": [1, 2, 3], "bbox_score": 1}]}')
    assert status_of('infer', 'person', tmp_path / 'photos', '--out', out, *options, '--tiles', '2') == 1
    assert 'cannot be read' in (out / 'failures.txt').read_text()


def test_options_of_other_tasks_are_refused(tmp_path, weights, written, capsys):
    (path,) = write_pictures(tmp_path / 'photos', sizes=((50, 50),))
    options = (path, '--out', tmp_path / 'out')
    assert status_of('infer', 'person', *options, '--model', written, '--detector', 'embedded') == 2
    assert '--boxes and --detector are for pose' in capsys.readouterr().err
    assert status_of('infer', 'seg', *options, '--model', 'seg/sapiens_tiny_synthetic-128x96', '--views', '3') == 2
    assert '--views is for pose' in capsys.readouterr().err
    options = (*options, '--model', 'pose/sapiens_tiny_synthetic17-128x96', '--detector', 'whole-image')
    assert status_of('infer', 'pose', *options, '--views', '8') == 2
    assert '--views: invalid choice: 8 (choose from 1, 2, 3, 4, 5, 6, 7)' in capsys.readouterr().err
    assert status_of('infer', 'pose', *options, '--tiles', '2') == 2
    assert '--tiles 2 is for person' in capsys.readouterr().err


def test_a_detector_for_pose(weights, written):
    image = picture((120, 90))
    detector = build_detector(f'sapiens:{written},{weights}', 'cpu', nms_threshold=1.0)
    ((boxes, scores),) = detector([image])
    found = load_model(written, weights, device='cpu')(image)
    np.testing.assert_allclose(scores, found.scores, atol=1e-5)
    np.testing.assert_allclose(boxes, found.boxes, atol=1e-3)
    tiled = build_detector(f'sapiens:{written},{weights},2', 'cpu', nms_threshold=1.0)([image])
    assert len(tiled[0][0]) != len(boxes)
    for text in (
        f'sapiens:{written}',
        'sapiens:',
        f'sapiens:{written},',
        f'sapiens:{written},{weights},2,3',
        f'sapiens:{written},3',
    ):
        with pytest.raises(ValueError, match='expected'):
            build_detector(text, 'cpu')
    with pytest.raises(ValueError, match="task='person', but .* is for 'pose'"):
        build_detector(f'sapiens:pose/sapiens_tiny_synthetic17-128x96,{weights}', 'cpu')


@pytest.mark.parametrize(
    ('format', 'decode'),
    [
        ('torchscript', True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (('torchscript', False), ('export', True), ('onnx', True), ('onnx', False))
        ),
    ],
)
def test_export(tmp_path, weights, format, decode):
    options = ExportOptions(format, decode=decode, preprocess='uint8', dynamic_batch=True)
    report = export_model(config(), weights, options, tmp_path / options.file_name('person'))
    names = ['boxes', 'scores'] if decode else ['raw_boxes']
    assert [row.name for row in report.differences] == names and report.meta['geometry'] == 'letterbox'
    assert report.differences[0].compared > 0.3 or not decode
    exported = load_export(report.path)
    images = torch.stack(load_images([], SIZE[::-1]) * 2)
    got = exported(images)
    assert list(got) == names
    model = load_model(config(), weights, device='cpu').network
    output = model(model.data_preprocessor.normalize(images))
    if not decode:
        torch.testing.assert_close(got['raw_boxes'], output, rtol=1e-4, atol=1e-4)
        return
    boxes, scores = model.decode(output, SIZE)
    assert got['boxes'].shape == boxes.shape == (2, 20, 4)
    torch.testing.assert_close(got['scores'], scores, rtol=1e-3, atol=1e-4)
    real = scores > 0
    torch.testing.assert_close(got['boxes'][real], boxes[real], rtol=1e-3, atol=1e-2)


def test_the_comparison_sees_boxes_and_scores_that_differ(weights):
    model = load_model(config(), weights, device='cpu').network
    (image,) = load_images([], SIZE[::-1])
    reference = make_reference(model, image)
    right = dict(reference.decoded)

    def judged(**changes):
        return [one.passed for one in compare(model, [reference], [right | changes], TOLERANCES['fp32'], True)]

    assert judged() == [True, True]
    # The order of people with equal scores may change.
    assert judged(boxes=right['boxes'].flip(1), scores=right['scores'].flip(1)) == [True, True]
    assert judged(boxes=right['boxes'] + 1.5)[0] is False
    assert judged(scores=right['scores'] * 0.9) == [False, False]
    assert judged(scores=torch.zeros_like(right['scores']))[1] is False
