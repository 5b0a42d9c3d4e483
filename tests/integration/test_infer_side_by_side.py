"""sapiens infer with models of several tasks: one reading of each image, masks by parts, figures, and a run that continues."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.apis import Pipeline, batch_job, load_model, pipeline
from sapiens.apis.loading.build import build_model
from sapiens.apis.results import Saving
from sapiens.visualization.layout import LINE

from ..apis.tiny import SIZES, lively, picture, write_pictures
from ..apis.tiny import config as tiny_config
from ..scripts import fork_spawned_processes
from . import status_of
from .test_infer import CONFIGS

TASKS = ('pose', 'seg', 'depth', 'normal')


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """Configs of small models, and files with weights whose outputs differ from pixel to pixel, by task."""
    folder, made = tmp_path_factory.mktemp('models'), {}
    for task in TASKS:
        config = folder / f'{task}.py'
        tiny_config(task).dump(str(config))
        network = lively(build_model(config, device='cpu'))
        if task == 'seg':  # few classes, the background among them
            with torch.no_grad():
                network.head.conv_seg.bias.zero_()
                network.head.conv_seg.bias[4:] = -100
        torch.save(dict(state_dict=network.state_dict(), meta={}), folder / f'{task}.pth')
        made[task] = config, folder / f'{task}.pth'
    return made


@pytest.fixture
def infer(capsys, models):
    """Run the command with the models of some tasks; returns its exit code, output and errors."""

    def call(source, out, *options, tasks=TASKS):
        given = ('--model', *(models[task][0] for task in tasks), '--checkpoint', *(models[task][1] for task in tasks))
        code = status_of('infer', 'all', source, *given, '--device', 'cpu', '--out', out, *options)
        return (code, *capsys.readouterr())

    return call


def pixels(path):
    return np.asarray(Image.open(path))


def test_images_are_read_once_and_people_are_found_once(infer, tmp_path, monkeypatch):
    paths = write_pictures(tmp_path / 'in')
    paths[1].write_bytes(b'nothing')
    read, asked, plain = [], [], pipeline.read_pixels
    monkeypatch.setattr(pipeline, 'read_pixels', lambda source: read.append(source) or plain(source))
    monkeypatch.setattr(batch_job, 'build_detector', lambda **options: detect)

    def detect(images):
        asked.extend(image.shape[:2] for image in images)
        return [(np.array([[1, 2, 40, 50]], np.float32), np.ones(1, np.float32)) for _ in images]

    code, text, errors = infer(
        tmp_path / 'in', tmp_path / 'out', '--detector', 'torchvision:ssdlite320_mobilenet_v3_large'
    )
    assert code == 1, errors
    assert sorted(read) == sorted(map(str, paths)), 'one reading for four models'
    assert sorted(asked) == sorted(size for size in SIZES if size != SIZES[1])
    assert 'wrote results of 3 images' in text and '1 failed' in text
    assert (tmp_path / 'out/failures.txt').read_text().startswith(f'{paths[1]}\t')
    for task in TASKS:
        names = {path.name.split('.')[0].split('_')[0] for path in (tmp_path / 'out' / task).glob('[0-9]*')}
        assert names == {'0', '2', '3'}, task
    people = json.loads((tmp_path / 'out/pose/0.json').read_text())['instance_info']
    assert [person['bbox'] for person in people] == [[1, 2, 40, 50]]
    read.clear()
    Image.fromarray(picture()).save(paths[1])
    code, text, _ = infer(tmp_path / 'in', tmp_path / 'out', '--detector', 'torchvision:ssdlite320_mobilenet_v3_large')
    assert code == 0 and '3 of them done already' in text and read == [str(paths[1])]


def test_maps_are_cut_out_by_parts(infer, tmp_path):
    """Outside the mask there is nothing, inside everything is as without it, in files, pictures and the figure."""
    write_pictures(tmp_path / 'in', SIZES[:2])
    options = ('--picture-format', 'png', '--no-legend')
    assert infer(tmp_path / 'in', tmp_path / 'plain', *options)[0] == 0
    code, _, errors = infer(tmp_path / 'in', tmp_path / 'out', *options, '--mask-by', 'seg', '--figure')
    assert code == 0, errors
    for name, (height, width) in zip('01', SIZES, strict=False):
        mask = np.load(tmp_path / f'out/seg/{name}.npy')
        assert 0.05 < mask.mean() < 0.95
        figure = pixels(tmp_path / f'out/figure/{name}.png')[LINE:]  # names above
        for task, place in (('depth', 3), ('normal', 4)):
            cut, whole = (np.load(tmp_path / f'{run}/{task}/{name}.npy') for run in ('out', 'plain'))
            assert np.isnan(cut[~mask]).all() and np.isfinite(whole).all()
            np.testing.assert_array_equal(cut[mask], whole[mask])
            drawn, before = (pixels(tmp_path / f'{run}/{task}/{name}.png') for run in ('out', 'plain'))
            assert (drawn[~mask] == 0).all() and (before[~mask] == 100).all()
            np.testing.assert_array_equal(drawn[mask], before[mask])
            left = place * (width + 4)
            np.testing.assert_array_equal(figure[:height, left : left + width], drawn)
        np.testing.assert_array_equal(figure[:height, :width], pixels(tmp_path / f'in/{name}.png'))
        for task in ('seg', 'pose'):  # the mask says nothing about them
            np.testing.assert_array_equal(*(pixels(tmp_path / f'{run}/{task}/{name}.png') for run in ('out', 'plain')))


def test_some_classes_are_the_mask(infer, models, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    classes = ('--mask-classes', 'Face_Neck', 'Hair')
    code, _, errors = infer(tmp_path / 'in', tmp_path / 'out', '--mask-by', 'seg', *classes, '--background', 'white',
                            '--picture-format', 'png', tasks=('seg', 'normal'))  # fmt: skip
    assert code == 0, errors
    labels = np.load(tmp_path / 'out/seg/0_seg.npy')
    found = load_model(*models['seg'], device='cpu')(tmp_path / 'in/0.png')
    mask = np.isin(labels, [found.classes.index(name) for name in ('Face_Neck', 'Hair')])
    assert 0 < mask.sum() < (labels > 0).sum()
    np.testing.assert_array_equal(np.isfinite(np.load(tmp_path / 'out/normal/0.npy')).all(-1), mask)
    assert (pixels(tmp_path / 'out/normal/0.png')[: mask.shape[0]][~mask] == 255).all()
    both = Pipeline(
        [load_model(*models[task], device='cpu') for task in ('normal', 'seg')],
        mask_by='seg',
        mask_classes=('Face_Neck', 'Hair'),
    )
    results = both(tmp_path / 'in/0.png')
    results.save(tmp_path / 'python', picture_format='png', kinds=('picture',), legend=False)
    drawn, figure = pixels(tmp_path / 'python/normal/0.png'), results.draw(side=None)[LINE:]
    for shown in (drawn, results['normal'].draw(), figure[: mask.shape[0], mask.shape[1] + 4 :][:, : mask.shape[1]]):
        assert (shown[~mask] == 0).all() and shown[mask].any(), 'black, as the command draws them by default'
    assert (results['normal'].drawing(Saving(background='gray'))[~mask] == 100).all()
    np.testing.assert_array_equal(
        both(tmp_path / 'in/0.png')['normal'].published, np.load(tmp_path / 'out/normal/0.npy')
    )


def test_a_hidden_model_masks_one_task(capsys, models, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    (normal, its_weights), (seg, seg_weights) = models['normal'], models['seg']
    command = ('infer', 'normal', tmp_path / 'in', '--model', normal, '--checkpoint', its_weights, '--mask-model', seg,
               '--mask-checkpoint', seg_weights, '--device', 'cpu')  # fmt: skip
    assert status_of(*command, '--out', tmp_path / 'out', '--mask-by', 'seg') == 0, capsys.readouterr()
    assert {path.name for path in (tmp_path / 'out').glob('0*')} == {'0.npy', '0.jpg'}
    mask = load_model(*models['seg'], device='cpu')(tmp_path / 'in/0.png').foreground
    np.testing.assert_array_equal(np.isfinite(np.load(tmp_path / 'out/0.npy')).all(-1), mask)
    capsys.readouterr()
    assert status_of(*command, '--out', tmp_path / 'out') == 2
    assert 'mask_by was seg, is None' in capsys.readouterr().err


def test_figures_belong_to_the_results_of_an_image(infer, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:2])
    command = (tmp_path / 'in', tmp_path / 'out', '--save', 'json', 'labels')
    tasks = ('pose', 'seg')
    assert infer(*command, tasks=tasks)[0] == 0 and not (tmp_path / 'out/figure').exists()
    code, text, _ = infer(*command, '--figure', tasks=tasks)
    assert code == 0 and '0 of them done already' in text
    (tmp_path / 'out/figure/1.jpg').write_bytes(b'')
    code, text, _ = infer(*command, '--figure', tasks=tasks)
    assert code == 0 and '1 of them done already' in text
    assert pixels(tmp_path / 'out/figure/1.jpg').shape[1] == 3 * 204 - 4


def test_workers_of_a_device_give_the_same_files(infer, tmp_path, monkeypatch):
    fork_spawned_processes(monkeypatch)
    write_pictures(tmp_path / 'in')
    options = ('--mask-by', 'seg', '--figure', '--save', 'normal', 'labels')
    tasks = ('seg', 'normal')
    assert infer(tmp_path / 'in', tmp_path / 'one', *options, tasks=tasks)[0] == 0
    code, text, errors = infer(tmp_path / 'in', tmp_path / 'two', *options, '--jobs-per-device', 2, tasks=tasks)
    assert code == 0 and 'results of 4 images' in text, errors
    names = {path.relative_to(tmp_path / 'one') for path in (tmp_path / 'one').rglob('*.*') if path.is_file()}
    assert names == {path.relative_to(tmp_path / 'two') for path in (tmp_path / 'two').rglob('*.*') if path.is_file()}
    for name in names:
        if name.suffix == '.npy':
            one, two = (np.load(tmp_path / run / name) for run in ('one', 'two'))
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    'tasks, options, text',
    [
        (('pose', 'normal'), ('--mask-by', 'seg'), 'no model of this task is given, only for pose, normal: add one'),
        (('seg', 'normal'), ('--mask-by', 'pose'), "mask by 'pose': masks come from seg"),
        (('pose', 'seg'), ('--mask-by', 'seg'), 'the models are for pose, seg'),
        (('seg', 'normal'), ('--mask-by', 'seg', '--mask-classes', 'Hiar'), "did you mean 'Hair'?"),
        (('normal', 'depth'), ('--mask-classes', 'Hair'), 'no model gives masks of classes'),
        (('seg', 'normal'), ('--mask-by', 'seg', '--mask-dir', '.'), '--mask-dir those of files: leave out one'),
        (('seg', 'seg'), (), "two models for 'seg'"),
        (('seg', 'normal'), ('--boxes', 'boxes.json'), '--boxes and --detector are for pose'),
        (('seg', 'normal'), ('--num-keypoints', 17), '--num-keypoints is for pose'),
    ],
)
def test_contradictions_end_in_one_line(infer, tmp_path, tasks, options, text):
    write_pictures(tmp_path / 'in', SIZES[:1])
    code, _, errors = infer(tmp_path / 'in', tmp_path / 'out', *options, tasks=tasks)
    lines = [line for line in errors.splitlines() if line.startswith('error: ')]
    assert code == 2 and len(lines) == 1 and text in lines[0] and not list((tmp_path / 'out').rglob('*.*'))


def test_a_figure_is_for_several_models(capsys, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    command = ('infer', 'seg', tmp_path / 'in', '--model', CONFIGS['seg'], '--out', tmp_path / 'out', '--figure')
    assert status_of(*command) == 2 and '--figure shows the results of several models' in capsys.readouterr().err


def test_boxes_of_a_file_are_for_the_pose_model(infer, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:2])
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps([dict(image_id=0, bbox=[5, 5, 60, 90], score=0.8, category_id=1)] * 2))
    code, text, errors = infer(tmp_path / 'in', tmp_path / 'out', '--boxes', boxes, tasks=('normal', 'pose'))
    assert code == 0 and '2 people' in text, errors
    for name, count in (('0', 2), ('1', 0)):
        assert len(json.loads((tmp_path / f'out/pose/{name}.json').read_text())['instance_info']) == count
        assert np.load(tmp_path / f'out/normal/{name}.npy').shape[:2] == SIZES[int(name)]


def test_zero_people(infer, tmp_path, monkeypatch):
    """An image without people has results of every task, with an empty list of people."""
    monkeypatch.setattr(batch_job, 'build_detector', lambda **options: lambda images: [
        (np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in images
    ])  # fmt: skip
    write_pictures(tmp_path / 'in', SIZES[:2])
    code, text, errors = infer(
        tmp_path / 'in',
        tmp_path / 'out',
        '--detector',
        'torchvision:ssdlite320_mobilenet_v3_large',
        '--mask-by',
        'seg',
        '--figure',
    )
    assert code == 0 and '0 people' in text, errors
    assert json.loads((tmp_path / 'out/pose/0.json').read_text())['instance_info'] == []
    assert Path(tmp_path / 'out/figure/0.jpg').exists() and Path(tmp_path / 'out/normal/1.npy').exists()
