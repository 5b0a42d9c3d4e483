"""sapiens infer for pointmaps, mattes and albedo, as a user would run it."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.apis import build_model

from ..apis.test_sapiens2_results import tiny_config
from ..apis.tiny import lively, write_pictures
from . import status_of

SIZES = ((60, 80), (80, 60))


@pytest.fixture
def infer(capsys):
    """Run the command; returns its exit code, output and errors."""

    def call(*arguments):
        return (status_of('infer', *arguments, '--device', 'cpu'), *capsys.readouterr())

    return call


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Arguments of the command for a model of each task."""
    folder, made = tmp_path_factory.mktemp('models'), {}
    for task in ('pointmap', 'matting', 'albedo'):
        config = folder / f'{task}.py'
        tiny_config(task).dump(str(config))
        network = lively(build_model(config, device='cpu'))
        if task == 'pointmap':
            network.head.scale_final_layer[-1].weight.data.zero_()
            network.head.scale_final_layer[-1].bias.data.fill_(0.5)
        torch.save(dict(state_dict=network.state_dict(), meta={}), folder / f'{task}.pth')
        made[task] = config, folder / f'{task}.pth'
    return made


def of(models, *tasks):
    return '--model', *(models[task][0] for task in tasks), '--checkpoint', *(models[task][1] for task in tasks)


def test_points_of_a_known_camera(infer, models, tmp_path):
    write_pictures(tmp_path / 'in', SIZES)
    command = 'pointmap', tmp_path / 'in', *of(models, 'pointmap')
    code, _, errors = infer(*command, '--out', tmp_path / 'plain')
    assert code == 0, errors
    estimated = json.loads((tmp_path / 'plain/0.json').read_text())
    # A scale of 0.5: twice the width. 96 pixels of the input are 80 of the image.
    assert estimated['focal'] == 160.0 and estimated['focal_source'] == 'estimated'
    code, _, errors = infer(
        *command, '--out', tmp_path / 'known', '--focal', '320', '--save', 'points', 'ply', 'camera'
    )
    assert code == 0, errors
    points = [np.load(tmp_path / f'{name}/0.npy') for name in ('plain', 'known')]
    np.testing.assert_allclose(points[1], 2 * points[0], rtol=1e-5)
    assert (tmp_path / 'known/0.ply').read_bytes().startswith(b'ply\n')
    # A folder of cameras: one fits, one is of another image.
    (tmp_path / 'K').mkdir()
    np.savetxt(tmp_path / 'K/0.txt', [[100, 0, 39.5], [0, 100, 29.5], [0, 0, 1]])
    np.savetxt(tmp_path / 'K/1.txt', [[100, 0, 39.5], [0, 100, 29.5], [0, 0, 1]])
    code, _, errors = infer(*command, '--out', tmp_path / 'K-out', '--intrinsics', tmp_path / 'K', '--rays', 'project')
    assert code == 1 and '1.png: ' in errors and 'intrinsics of an image of another size' in errors
    known = np.load(tmp_path / 'K-out/0.npy')
    np.testing.assert_allclose(known[29, :, 0] / known[29, :, 2], (np.arange(80) - 39.5) / 100, atol=1e-4)
    assert not (tmp_path / 'K-out/1.npy').exists()
    # Results of another camera are not taken for these.
    code, _, errors = infer(*command, '--out', tmp_path / 'known', '--focal', '200')
    assert code == 2 and 'models.pointmap.focal was 320.0, is 200.0' in errors
    code, _, errors = infer(*command, '--out', tmp_path / 'plain', '--rays', 'project')
    assert code == 2 and 'models.pointmap.rays was None, is project' in errors


def test_cutouts_before_another_background(infer, models, tmp_path):
    write_pictures(tmp_path / 'in', SIZES)
    Image.new('RGB', (9, 9), (10, 200, 30)).save(tmp_path / 'beach.png')
    command = 'matting', tmp_path / 'in', *of(models, 'matting'), '--out', tmp_path / 'out'
    code, _, errors = infer(*command, '--over', tmp_path / 'beach.png', '--light', 'linear', '--picture-format', 'png')
    assert code == 0, errors
    assert {path.name for path in (tmp_path / 'out').glob('0*')} == {'0_alpha.npy', '0.png', '0_cutout.png'}
    alpha, cut = np.load(tmp_path / 'out/0_alpha.npy'), np.asarray(Image.open(tmp_path / 'out/0_cutout.png'))
    np.testing.assert_allclose(cut[..., 3], alpha * 255, atol=0.51)
    # The background belongs to the settings, by its content.
    Image.new('RGB', (9, 9), (10, 200, 31)).save(tmp_path / 'beach.png')
    code, _, errors = infer(*command, '--over', tmp_path / 'beach.png', '--light', 'linear', '--picture-format', 'png')
    assert code == 2 and 'beach.png: its content has changed' in errors


def test_a_video_before_another_one_keeps_its_sound(infer, models, tmp_path):
    av = pytest.importorskip('av')
    from sapiens.apis.video.video_file import Frame, VideoReader, VideoWriter

    from ..apis.test_video import frames, write_video

    video = write_video(tmp_path / 'dance.mp4', frames(6))
    sea = VideoWriter(tmp_path / 'sea.mp4', Fraction(10))
    for number in range(3):
        sea.write(Frame(np.full((32, 32, 3), 80 * number, np.uint8), Fraction(number, 10)))
    sea.close()
    # Nobody in the picture, so that all of it is background.
    network = torch.load(models['matting'][1], weights_only=True)
    network['state_dict']['decode_head.conv_matting.bias'][:] = -100
    torch.save(network, tmp_path / 'nobody.pth')
    out = tmp_path / 'out'
    code, _, errors = infer('matting', video, '--model', models['matting'][0], '--checkpoint', tmp_path / 'nobody.pth',
                            '--out', out, '--over', tmp_path / 'sea.mp4')  # fmt: skip
    assert code == 0, errors
    shown = list(VideoReader(out / 'dance.mp4'))
    assert len(shown) == 6
    for frame in shown:
        assert abs(frame.pixels.mean() - 80 * (int(float(frame.time) * 10 + 1e-6) % 3)) < 8
    with av.open(str(out / 'dance.mp4')) as file:
        assert len(file.streams.audio) == 1


def test_a_video_without_points_fails_by_name(infer, models, tmp_path):
    """As images do; results of other tasks are kept."""
    pytest.importorskip('av')
    from ..apis.test_video import frames, write_video

    config, weights = models['pointmap']
    content = torch.load(weights, weights_only=True)
    for name, value in content['state_dict'].items():
        if 'scale_final_layer' in name and value.shape == (1,):
            value.fill_(-50.0)
    torch.save(content, tmp_path / 'lost.pth')
    (tmp_path / 'in').mkdir()
    write_video(tmp_path / 'in/clip.mp4', frames(4))
    other, known = models['albedo']
    command = 'all', tmp_path / 'in/clip.mp4', '--model', config, other, '--checkpoint', tmp_path / 'lost.pth', known
    code, _, errors = infer(*command, '--out', tmp_path / 'out')
    assert code == 1, errors
    assert 'clip.mp4' in errors and 'no frame has a pointmap: the predicted scale is not above 0' in errors
    left = sorted(path.name for path in (tmp_path / 'out').rglob('clip*') if path.is_file())
    assert 'clip.mp4' in left and not list((tmp_path / 'out/pointmap').glob('clip*'))
    code, _, errors = infer(*command, '--out', tmp_path / 'known', '--focal', '100')
    assert code == 0, errors


def test_all_in_one_pass_cut_by_the_matte(infer, models, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    command = 'all', tmp_path / 'in', *of(models, 'matting', 'pointmap', 'albedo'), '--out', tmp_path / 'out'
    code, _, errors = infer(*command, '--mask-by', 'matting', '--figure')
    assert code == 0, errors
    person = np.load(tmp_path / 'out/matting/0_alpha.npy') >= 0.5
    assert 0 < person.sum() < person.size
    np.testing.assert_array_equal(np.isfinite(np.load(tmp_path / 'out/pointmap/0.npy')).all(-1), person)
    np.testing.assert_array_equal(np.isfinite(np.load(tmp_path / 'out/albedo/0.npy')).all(-1), person)
    assert Image.open(tmp_path / 'out/figure/0.jpg').size[0] > 4 * 80


@pytest.mark.parametrize(
    ('task', 'options', 'message'),
    [
        ('pointmap', ('--focal', '0'), 'focal=0.0: expected a focal length above 0'),
        ('pointmap', ('--focal', 'long'), '--focal long: expected pixels of the images, or exif'),
        ('pointmap', ('--focal', '9', '--intrinsics', 'K.txt'), 'give one of them'),
        ('pointmap', ('--intrinsics', 'K.txt'), 'intrinsics K.txt: no such file'),
        ('pointmap', ('--over', 'white'), '--over is for matting, the models are for pointmap'),
        ('albedo', ('--rays', 'project'), '--rays is for pointmap'),
        ('matting', ('--over', 'beech.jpg'), "background 'beech.jpg' is neither a color"),
        ('matting', ('--save', 'ply'), 'none of ply is a file of'),
    ],
)
def test_refused(infer, models, tmp_path, task, options, message):
    write_pictures(tmp_path / 'in', SIZES[:1])
    code, _, errors = infer(task, tmp_path / 'in', *of(models, task), '--out', tmp_path / 'out', *options)
    assert code == 2 and message in errors, errors
