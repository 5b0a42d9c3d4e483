"""Keypoints as the median over several crops of a person."""

import numpy as np
import pytest

from sapiens.apis import load_model
from sapiens.apis.infer_plan import make_plan
from sapiens.apis.predictors import VIEWS
from sapiens.commands.infer import parse_args

from .tiny import config, picture

BOXES = np.array([[10.1, 5.3, 40.7, 70.9], [30, 20, 55, 60]], np.float32)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('views') / 'pose.pth'
    model = load_model(config('pose'), device='cpu', detector='whole-image')
    for value in model.network.parameters():
        value.data.add_(0.05 * torch.randn_like(value))
    torch.save(dict(state_dict=model.network.state_dict()), path)
    return path


def moved(boxes, x, y, factor):
    centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centers = centers + sizes * np.float32((x, y))
    return np.concatenate([centers - sizes * np.float32(factor / 2), centers + sizes * np.float32(factor / 2)], 1)


@pytest.mark.parametrize('crop', ['host', 'device'])
@pytest.mark.parametrize('views', [1, 2, 5, 7])
def test_the_median_of_what_each_crop_gives(weights, views, crop):
    options = dict(device='cpu', detector='whole-image', crop=crop, batch_size=3)
    image = picture((80, 64))
    single = load_model(config('pose'), weights, **options)
    each = [single(image, boxes=moved(BOXES, *view)) for view in VIEWS[:views]]
    found = load_model(config('pose'), weights, views=views, **options)(image, boxes=BOXES)
    assert len({one.keypoints.tobytes() for one in each}) == views
    np.testing.assert_allclose(found.keypoints, np.median([one.keypoints for one in each], 0), atol=1e-3)
    np.testing.assert_allclose(found.scores, np.median([one.scores for one in each], 0), atol=1e-5)
    np.testing.assert_array_equal(found.boxes, BOXES)
    assert len(load_model(config('pose'), weights, views=views, **options)(image, boxes=BOXES[:0])) == 0


def test_a_smaller_skeleton_and_several_images(weights):
    options = dict(device='cpu', detector='whole-image', views=3)
    images = [picture((80, 64)), picture((60, 90))]
    together = load_model(config('pose'), weights, **options)(images, boxes=[BOXES, BOXES[:1]])
    alone = [load_model(config('pose'), weights, **options)(images[1], boxes=BOXES[:1])]
    np.testing.assert_allclose(together[1].keypoints, alone[0].keypoints, atol=1e-3)
    assert len(together[0].keypoints) == 2
    points = load_model(config('pose'), weights, keypoints_as='openpose25', **options)(images[0], boxes=BOXES)
    assert points.keypoints.shape == (2, 25, 2) and np.isnan(points.keypoints).any()


@pytest.mark.parametrize('views', [0, 8, 2.0, True])
def test_a_number_that_there_is_not(views):
    with pytest.raises(ValueError, match=r'views=.*expected the number of crops of a person, 1 to 7'):
        load_model(config('pose'), device='cpu', views=views)


def test_what_several_crops_cannot_give():
    with pytest.raises(ValueError, match='views=3 and heatmaps=True: heatmaps are of one crop'):
        load_model(config('pose'), device='cpu', views=3, heatmaps=True)
    with pytest.raises(ValueError, match='views: for pose only'):
        load_model(config('seg'), device='cpu', views=3)
    with pytest.raises(ValueError, match="views=3: .* not with processing='huggingface'"):
        load_model(config('pose'), device='cpu', views=3, processing='huggingface')


def test_views_on_the_command_line(weights, capsys):
    """One crop is what there is without the option, also in the record of a run."""
    plain = ['pose', 'photo.jpg', '--out', 'out', '--detector', 'whole-image']
    plain += ['--model', config('pose').filename, '--checkpoint', str(weights)]
    found = [
        make_plan(parse_args([*plain, *views])).models['pose'] for views in ([], ['--views', '1'], ['--views', '7'])
    ]
    assert [one.get('views') for one in found] == [None, None, 7]
    with pytest.raises(SystemExit):
        parse_args([*plain, '--views', '8'])
    assert 'argument --views: invalid choice: 8' in capsys.readouterr().err
