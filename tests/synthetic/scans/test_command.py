"""``sapiens scans``: files, resume, protocols, and what ends it, on a mannequin."""

import json
import pickle

import cv2
import numpy as np
import pytest

pytest.importorskip('trimesh')
pytest.importorskip('warp')

from mmengine.config import Config

from sapiens.commands import scans as tool
from sapiens.datasets import GeometryDataset
from sapiens.datasets.transforms.color_files import read_albedo
from sapiens.synthetic.making import Missing
from sapiens.synthetic.writer import read_labels
from sapiens.utils.config import find_config
from sapiens.utils.folder_lock import FolderLock

from ...scripts import ROOT, fork_spawned_processes
from . import mannequin

MADE = mannequin.build(12, 16)
SMALL = ['--size', '40x56', '--workers', '0']


def run(*options):
    tool.main([str(option) for option in options])


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob('*') if path.is_file() and path.name[0] != '.'
            and '.inspected' not in path.parts}  # fmt: skip


@pytest.fixture
def source(tmp_path):
    """Three scans as RenderPeople has them, in centimeters."""
    for number, scale in enumerate((1.0, 0.9, 1.05)):
        name = f'rp_p{number}_posed_00{number}'
        path = tmp_path / f'rp/{name}_OBJ/{name}_100k.obj'
        mannequin.write(path, MADE, unit=100, image=f'tex/{name}_dif.png', scale=scale)
    return tmp_path / 'rp'


def test_bytes_do_not_depend_on_workers_or_interruptions(source, tmp_path, monkeypatch):
    fork_spawned_processes(monkeypatch)
    run(source, '--out', tmp_path / 'here', '--num', 7, '--seed', 3, *SMALL)
    run(source, '--out', tmp_path / 'parts', '--num', 2, '--seed', 3, *SMALL)
    run(source, '--out', tmp_path / 'parts', '--num', 7, '--seed', 3, *SMALL)
    here = content(tmp_path / 'here')
    assert here == content(tmp_path / 'parts')
    kinds = ('rgb', 'mask', 'depth', 'normal', 'albedo', 'alpha', 'foreground', 'camera', 'camera_intrinsics')
    assert {name.split('/')[0] for name in here} == {
        *kinds,
        'camera_extrinsics',
        'labels',
        'dataset_card.json',
        'scans.json',
    }
    card = json.loads(here['dataset_card.json'])
    assert card['options']['unit'] == 0.01 and card['options']['up'] == 'y' and card['complete']
    assert card['counts']['scan'] == {f'rp_p{n}_posed_00{n}_100k.obj': 3 - (n > 0) for n in range(3)}
    for index in range(7):
        entry = json.loads(here[f'labels/{index:06d}.json'])
        assert entry['people'][0]['attributes']['scan'] == f'rp_p{index % 3}_posed_00{index % 3}_100k.obj'
    facts = json.loads(here['scans.json'])
    assert [scan['unit'] for scan in facts['scans']] == [0.01] * 3 and facts['warnings'] == []


def test_the_configs_read_the_folder(source, tmp_path, capsys):
    out = tmp_path / 'render_people'
    run(source, '--out', out, '--num', 3, '--preview', *SMALL)
    assert '3 images of 3 scans' in capsys.readouterr().out and len(list(out.glob('preview_*.png'))) == 7
    for name in ('depth', 'normal', 'pointmap', 'albedo'):
        config = Config.fromfile(str(ROOT / f'configs/_base_/datasets/render_people_{name}.py'))
        options = dict(config.train_dataset, data_root=str(out), part=(0, 1), type=None)
        options.pop('type')
        dataset = GeometryDataset(**options)
        assert len(dataset) == 3
    labels = read_labels(out, 0)
    inside = labels['mask'] > 0
    assert 0.02 < inside.mean() < 0.9 and (labels['depth'][inside] > 0.2).all()
    np.testing.assert_allclose(np.linalg.norm(labels['normal'][inside], axis=-1), 1, atol=1e-3)
    assert labels['normal'][inside][:, 2].mean() > 0.3  # the published frame: towards the camera
    # The albedo of the mannequin's colors, whose coding the configs state.
    albedo = read_albedo(str(out / 'albedo/000000.png'), 'srgb')
    known = ((mannequin.COLORS / 255 + 0.055) / 1.055) ** 2.4
    distance = np.abs(albedo[inside][:, None] - known).max(-1).min(1)
    assert np.median(distance) < 0.01


def test_what_was_begun_otherwise_is_refused(source, tmp_path):
    out = tmp_path / 'out'
    run(source, '--out', out, '--num', 2, '--labels', 'mask', *SMALL)
    before = content(out)
    for options, text in (
        (['--num', 2, '--labels', 'mask', '--seed', 5], 'seed = 0, this run has seed = 5'),
        (['--num', 2, '--labels', 'mask', '--up', 'z'], "up = 'y', this run has up = 'z'"),
        (
            ['--num', 2, '--labels', 'mask', '--part', '0-0.6'],
            r"scans = '3 files, \w+', this run has scans = '2 files, \w+'",
        ),
        (['--num', 2, '--labels', 'mask', '--scene', 'rays=1'], 'rays = None, this run has rays = 1'),
        (['--num', 2, '--labels', 'mask', '--scene', 'ray=1'], "does not take these options.*'ray'"),
        (['--num', 2, '--labels', 'mask', '--scene', 'unit=1'], 'a key that has no separate option'),
        (['--num', 2, '--labels', 'msk'], r"unknown labels \['msk'\]: expected some of mask, depth"),
        (['--num', 1, '--labels', 'mask'], 'ask for 2 or more'),
        (['--num', 2, '--labels', 'mask', '--part', '0.9-0.1'], 'expected .begin, end.'),
    ):
        with pytest.raises(ValueError, match=text):
            run(source, '--out', out, *options, *SMALL)
    assert content(out) == before
    mannequin.write(source / 'new.obj', MADE, unit=100)
    with pytest.raises(ValueError, match=r"scans = '3 files, \w+', this run has scans = '4 files"):
        run(source, '--out', out, '--num', 2, '--labels', 'mask', *SMALL)


def test_scans_that_cannot_be_used_are_named_before_anything_is_rendered(source, tmp_path):
    names = sorted(source.rglob('*.obj'))
    image = names[1].parent / f'tex/{names[1].stem.removesuffix("_100k")}_dif.png'
    kept = image.read_bytes()
    image.unlink()
    names[2].write_text('v 0 0 0\n')
    with pytest.raises(ValueError, match='2 of 3 scans cannot be used') as caught:
        run(source, '--out', tmp_path / 'out', '--num', 3, *SMALL)
    message = str(caught.value)
    assert f"names 'tex/{image.name}'" in message and f"the scan '{names[2]}' has no triangles" in message
    assert not (tmp_path / 'out/rgb').exists()
    image.write_bytes(kept)
    names[2].unlink()
    run(
        source, '--out', tmp_path / 'out', '--num', 2, '--labels', 'mask', *SMALL
    )  # only what was repaired is looked at again
    mannequin.write(source / 'large.obj', MADE, unit=1000)
    with pytest.raises(ValueError, match=r'the scan large\.obj is 17\.09 m long.*1\.71 m in mm: convert it'):
        run(source, '--out', tmp_path / 'other', '--num', 2, *SMALL)


def test_doubts_are_warnings(source, tmp_path, capsys):
    mannequin.write(source / 'zz.obj', MADE, unit=100, up='z')
    run(source, '--out', tmp_path / 'out', '--num', 4, '--labels', 'mask', *SMALL)
    err = capsys.readouterr().err
    assert 'warning: zz.obj: its head is along z' in err and 'not along y as taken for all: turn it?' in err
    assert json.loads((tmp_path / 'out/scans.json').read_text())['warnings'][0].startswith('zz.obj')


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ([], '--num is missing'),
        (['--num', '3'], '--out is missing'),
        (['--protocol', 'thuman2'], '--out is missing'),
        (['--protocol', 'thuman2', '--out', 'x', '--num', '3'], 'the number of images is that of --protocol thuman2'),
        (['--protocol', 'hi4d', '--out', 'x'], 'belong beside its images'),
        (
            ['--protocol', 'hi4d', '--size', '40x56'],
            '--size: images, cameras and scale of hi4d are those of its release',
        ),
        (['--protocol', 'hi4d', '--preview'], '--preview: images, cameras and scale of hi4d'),
        (['--protocol', 'hi4d', '--gpus-per-worker', '1'], '--gpus-per-worker: images, cameras and scale of hi4d'),
        (['--num', '3', '--out', 'x', '--workers', '-1'], '-1: expected a whole number, 0 or more'),
        (['--num', '3', '--out', 'x', '--unit', 'foot'], 'foot: expected auto, smplx, m, cm, mm, or a number above 0'),
        (['--num', '3', '--out', 'x', '--part', '0.5'], 'two fractions like 0-0.9'),
    ],
)
def test_wrong_arguments(options, text, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['scans', *options])
    assert text in capsys.readouterr().err


def test_a_second_command_in_the_folder_is_refused(source, tmp_path, hi4d):
    for folder, options in (
        (tmp_path / 'out', [source, '--out', tmp_path / 'out', '--num', 1, *SMALL]),
        (tmp_path / 'out', [source, '--out', tmp_path / 'out', '--protocol', 'thuman2', *SMALL]),
        (hi4d[0], [hi4d[0], '--protocol', 'hi4d', '--workers', 0]),
    ):
        with (
            FolderLock(folder, ''),
            pytest.raises(ValueError, match='is in use by process .*: wait until it has ended'),
        ):
            run(*options)
    assert not (tmp_path / 'out').exists() and not list(hi4d[0].rglob('*.npy'))


def test_an_image_that_fails_names_its_scan(source, tmp_path, monkeypatch):
    def fail(self, seed, number):
        raise ZeroDivisionError('no light')

    monkeypatch.setattr(tool.ScanGenerator, '__call__', fail)
    with pytest.raises(
        SystemExit, match=r"image 0 .* of the scan '.*rp_p0_posed_000_100k\.obj' failed: ZeroDivisionError"
    ):
        run(source, '--out', tmp_path / 'out', '--num', 2, *SMALL)


def test_a_damaged_environment_map_is_one_sentence(source, tmp_path):
    light = tmp_path / 'night.hdr'
    light.write_bytes(b'#?RADIANCE\n\n')
    with pytest.raises(SystemExit) as end:
        run(source, '--out', tmp_path / 'out', '--num', 1, '--environments', light, *SMALL)
    text = str(end.value)
    assert text.startswith('error: image 0 of the scan') and 'Traceback' not in text
    assert f"the environment map '{light}' is not a readable Radiance file" in text


def test_a_worker_makes_several_images_of_a_scan_in_a_row():
    made = list(tool.batches(Missing(100, lambda _: False), 100, 3))
    assert made[0] == list(range(0, 48, 3)) and made[1] == list(range(1, 48, 3))
    assert sorted(index for batch in made for index in batch) == list(range(100)) and max(map(len, made)) == tool.BATCH
    assert max(made[2]) < 48 <= min(made[3])
    assert list(tool.batches(Missing(9, lambda index: index not in (5, 7, 8)), 9, 3)) == [[7], [5, 8]]


# ---------------------------------------------------------------------- protocols


def dataset(task, name, root):
    config = Config.fromfile(str(ROOT / f'configs/_base_/datasets/{name}_{task}.py'))
    options = {key: value for key, value in config.test_dataset.items() if key != 'type'}
    return GeometryDataset(**dict(options, data_root=str(root)))


def test_three_views_of_each_scan_of_thuman2(tmp_path, capsys):
    source = tmp_path / 'THuman2.0_Release'
    for number, scale in enumerate((0.44, 0.5)):
        path = source / f'{number:04d}/{number:04d}.obj'
        mannequin.write(path, MADE, image='material0.jpeg', material='material0.mtl', unit=scale)
    out = tmp_path / 'thuman2'
    run(source, '--out', out, '--protocol', 'thuman2', *SMALL)
    shown = capsys.readouterr()
    assert 'the scan 0000/0000.obj has no smplx_param.pkl' in shown.err and '2.26 meters for a unit' in shown.err
    assert '6 images of 2 scans; the published evaluation has 526 scans' in shown.out
    lines = [line.split() for line in shown.out.splitlines() if line.startswith('next: ')]
    assert [line[1:4] for line in lines] == [[f'DATA_ROOT={tmp_path}', 'sapiens', 'test']] * 2
    for task, words in zip(('depth', 'normal'), lines, strict=True):
        assert find_config(words[4]).parent.name == task and words[5] == f'sapiens-{task}-1b'
    for task in ('depth', 'normal'):
        data = dataset(task, 'thuman2', out)
        assert len(data) == 6 and {data.path(index).split('/')[-3] for index in range(6)} == {'face', 'upper', 'full'}
    shots = {view: json.loads((out / f'{view}/labels/000001.json').read_text()) for view in ('face', 'upper', 'full')}
    assert all(entry['people'][0]['attributes']['shot'] == view for view, entry in shots.items())
    assert len({entry['seed'] for entry in shots.values()}) == 3
    with pytest.raises(ValueError, match='a key that has no separate option'):
        run(source, '--out', out, '--protocol', 'thuman2', '--scene', 'shots={}', *SMALL)
    # With the fits, each scan has its own scale.
    for number, scale in enumerate((0.44, 0.5)):
        (tmp_path / f'smplx/{number:04d}').mkdir(parents=True)
        (tmp_path / f'smplx/{number:04d}/smplx_param.pkl').write_bytes(pickle.dumps(dict(scale=np.array([scale]))))
    fits = tmp_path / 'fits'
    run(source, '--out', fits, '--protocol', 'thuman2', '--labels', 'mask', *SMALL)
    assert [scan['unit'] for scan in json.loads((fits / 'scans.json').read_text())['scans']] == [1 / 0.44, 2.0]
    mannequin.write(source / '0001/0001.obj', MADE, image='material0.jpeg', material='material0.mtl', unit=500)
    with pytest.raises(ValueError, match=r'the scan 0001/0001\.obj is 1709 m long, at 2 meters for a unit'):
        run(source, '--out', tmp_path / 'y', '--protocol', 'thuman2', '--labels', 'mask', *SMALL)
    (tmp_path / 'smplx/0001/smplx_param.pkl').unlink()
    with pytest.raises(FileNotFoundError, match=r'--unit smplx: the scan 0001/0001\.obj has no smplx_param\.pkl'):
        run(source, '--out', tmp_path / 'x', '--num', 2, '--unit', 'smplx', *SMALL)


@pytest.fixture
def hi4d(tmp_path):
    """A frame of each pair in the layout of the release, with its exact depth."""
    root = tmp_path / 'hi4d'
    intrinsics = np.array([[100.0, 0, 31], [0, 104.0, 47], [0, 0, 1]])
    turn = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float64)  # z up to y down
    shift = -turn @ np.array([0.4, -2.3, 1.0])
    camera = tool.hi4d.Camera(intrinsics, turn, shift, 64, 96)
    parts = [(np.add(center, [0.4, 0.2, 0.1]), radii) for center, radii in mannequin.PARTS]
    depth, normal = mannequin.trace(camera, parts)
    for pair, action in (('pair28', 'talk28'), ('pair32', 'hug32'), ('pair37', 'dance37')):
        sequence = root / pair / action
        mannequin.write(sequence / 'frames/mesh-f00012.obj', mannequin.build(32, 40), up='z', image='Atlas-F00012.png')
        (sequence / 'cameras').mkdir()
        np.savez(
            sequence / 'cameras/rgb_cameras.npz', ids=[16, 4], intrinsics=[np.eye(3), intrinsics],
            extrinsics=[np.zeros((3, 4)), np.column_stack([turn, shift])], dist_coeffs=np.zeros((2, 5)),
        )  # fmt: skip
        for folder, name, picture in (
            ('images/4', '000012.jpg', np.full((96, 64, 3), 90, np.uint8)),
            ('seg/img_seg_mask/4/all', '000012.png', (depth > 0).astype(np.uint8) * 255),
        ):
            (sequence / folder).mkdir(parents=True)
            assert cv2.imwrite(str(sequence / folder / name), picture)
    return root, depth, normal


def test_depth_and_normals_of_hi4d_are_the_analytic_ones(hi4d, capsys):
    root, depth, normal = hi4d
    run(root, '--protocol', 'hi4d', '--workers', 0)
    shown = capsys.readouterr()
    assert '3 frames of camera 4 with depth and normals; the published evaluation has 1195' in shown.out
    assert 'intersection over union with the masks: 0.9' in shown.out and 'warning' not in shown.err
    assert len(dataset('depth', 'hi4d', root)) == len(dataset('normal', 'hi4d', root)) == 3
    made = np.load(root / 'pair32/hug32/depth/4/000012.npy')
    normals = np.load(root / 'pair32/hug32/normal/4/000012.npy') * [1, -1, -1]
    inner = cv2.erode(((made > 0) & (depth > 0)).astype(np.uint8), np.ones((3, 3))) > 0
    error = np.abs(made - depth)[inner]
    angle = np.degrees(np.arccos(np.clip((normals * normal).sum(-1)[inner], -1, 1)))
    assert inner.sum() > 300 and np.median(error) < 3e-4 and np.median(angle) < 0.5
    # A second run makes nothing; one that was lost is made again.
    (root / 'pair28/talk28/normal/4/000012.npy').unlink()
    before = (root / 'pair32/hug32/depth/4/000012.npy').stat().st_mtime_ns
    run(root, '--protocol', 'hi4d', '--workers', 0)
    assert '1 frames to make, 2 are there' in capsys.readouterr().out
    assert (root / 'pair32/hug32/depth/4/000012.npy').stat().st_mtime_ns == before
    assert (root / 'pair28/talk28/normal/4/000012.npy').is_file()


def test_what_hi4d_lacks_is_named(hi4d, tmp_path, capsys):
    root, *_ = hi4d
    cameras = root / 'pair28/talk28/cameras/rgb_cameras.npz'
    content = dict(np.load(cameras))
    doubled = content['intrinsics'] * np.array([[2], [2], [1]])
    for change, text in (
        (dict(ids=[16, 28]), r"rgb_cameras\.npz' has no camera 4"),
        (dict(intrinsics=doubled), 'they were resized'),
    ):
        np.savez(cameras, **dict(content, **change))
        with pytest.raises(ValueError, match=text):
            run(root, '--protocol', 'hi4d', '--workers', 0)
    np.savez(cameras, **content)
    beside = np.zeros((3, 4))
    beside[0, 3] = 0.4
    shown = dict(content, extrinsics=content['extrinsics'] + beside)
    np.savez(cameras, **shown)  # a camera beside the right one
    run(root, '--protocol', 'hi4d', '--workers', 0)
    assert 'is it of this camera and frame?' in capsys.readouterr().err
    cameras.unlink()
    with pytest.raises(FileNotFoundError, match=r'no cameras: .*rgb_cameras\.npz'):
        run(root, '--protocol', 'hi4d', '--workers', 0)
    (root / 'pair32/hug32/frames/mesh-f00012.obj').rename(tmp_path / 'x')
    np.savez(cameras, **content)
    with pytest.raises(FileNotFoundError, match=r"000012\.jpg' has no mesh: '.*frames/mesh-f00012\.obj' is missing"):
        run(root, '--protocol', 'hi4d', '--workers', 0)
    (root / 'pair37').rename(tmp_path / 'pair37')
    with pytest.raises(FileNotFoundError, match='has no sequence of pair37'):
        run(root, '--protocol', 'hi4d', '--workers', 0)
    with pytest.raises(FileNotFoundError, match='no folder of Hi4D'):
        run(root / 'x', '--protocol', 'hi4d', '--workers', 0)
