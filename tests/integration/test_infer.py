"""sapiens infer as a user would run it, in this process where that is the same."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sapiens.apis import batch_job
from sapiens.apis.batch_job import Outcome, Plan, run_plan
from sapiens.apis.inputs import find_inputs
from sapiens.apis.results import Saving
from sapiens.utils.folder_lock import FolderLock

from ..apis.tiny import SIZES, picture, write_pictures
from ..scripts import ROOT, fork_spawned_processes, run
from . import status_of

CONFIGS = {task: str(ROOT / f'configs/{task}/sapiens_tiny_synthetic{"17" * (task == "pose")}-128x96.py')
           for task in ('pose', 'seg', 'depth', 'normal')}  # fmt: skip
CONFIGS['features'] = str(ROOT / 'configs/mae/sapiens_tiny_synthetic-128x128.py')


@pytest.fixture
def infer(capsys):
    """Run the command; returns its exit code, output and errors."""

    def call(*arguments):
        return (status_of('infer', *arguments, '--device', 'cpu'), *capsys.readouterr())

    return call


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A file with the weights of a tiny pose model."""
    from sapiens.apis import build_model

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'pose.pth'
    torch.save(dict(state_dict=build_model(CONFIGS['pose'], device='cpu').state_dict(), meta={}), path)
    return path


def breakages() -> dict[str, bytes]:
    """Ten kinds of bad image files."""
    import io

    def encoded(kind, image=None, **options):
        file = io.BytesIO()
        (image or Image.fromarray(picture((64, 48)))).save(file, kind, **options)
        return file.getvalue()

    jpeg, png = encoded('JPEG', quality=95), encoded('PNG')
    return {
        'empty': b'',
        'text': b'not an image at all\n',
        'page': b'<!DOCTYPE html><html><title>404</title></html>',
        'pointer': b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n',
        'cut_jpeg': jpeg[: len(jpeg) // 2],
        'cut_png': png[: len(png) // 2],
        'header_only': jpeg[:20],
        'archive': b'PK\x03\x04' + bytes(100),
        'huge': png[:16] + (60000).to_bytes(4, 'big') * 2 + png[24:],
        'depths': encoded('TIFF', Image.fromarray(np.ones((8, 8), np.float32))),
    }


def corpus(folder: Path, good: int, broken: int) -> tuple[set[str], set[str]]:
    """Names of good and of broken files of several formats, sizes and folders."""
    names = set()
    for index in range(good):
        suffix = ('jpg', 'png', 'webp', 'bmp')[index % 4]
        path = folder / f'part{index % 3}' / f'{index:04d}.{suffix}'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture((40 + index % 37, 30 + index % 53), index % 5)).save(path)
        names.add(str(path.relative_to(folder).with_suffix('')))
    ways, bad = list(breakages().items()), set()
    for index in range(broken):
        way, content = ways[index % len(ways)]
        suffix = {'cut_png': 'png', 'huge': 'png', 'depths': 'tif'}.get(way, 'jpg')
        path = folder / f'part{index % 3}' / f'{way}_{index}.{suffix}'
        path.write_bytes(content)
        bad.add(str(path))
    return names, bad


def check_corpus(infer, folder, out, good, broken, *options):
    names, bad = corpus(folder, good, broken)
    code, text, errors = infer('pose', folder, '--model', CONFIGS['pose'], '--out', out, '--save', 'json', *options)
    assert code == 1
    assert {str(path.relative_to(out).with_suffix('')) for path in out.glob('part*/*.json')} == names
    assert f'wrote results of {good} images' in text and f'{broken} failed' in text
    listed = dict(line.split('\t') for line in (out / 'failures.txt').read_text().splitlines())
    assert set(listed) == bad and all(listed.values())
    assert all(f'failed {path}: ' in errors for path in bad)
    return listed


def test_broken_files_are_named_and_do_not_stop_the_rest(infer, weights, tmp_path):
    before = os.listdir(tmp_path)
    listed = check_corpus(infer, tmp_path / 'in', tmp_path / 'out', 24, 10, '--checkpoint', weights, '--csv')
    assert len({Path(path).name.split('_')[0] for path in listed}) >= 8 and before == []
    people = json.loads((tmp_path / 'out/keypoints.coco.json').read_text())
    assert len(people) == 24 and len({entry['image_id'] for entry in people}) == 24
    assert (tmp_path / 'out/keypoints.csv').read_text().count('\n') == 25
    assert len(list((tmp_path / 'in').rglob('*.*'))) == 34, 'nothing was written among the inputs'


def failures_of(out):
    lines = (out / 'failures.txt').read_bytes().decode(errors='surrogateescape')[:-1].split('\n')
    return dict(line.split('\t') for line in lines)


def test_a_list_of_impossible_paths(infer, weights, tmp_path):
    """Every line but the first is a failure with a reason. Nothing ends the run."""
    (good,) = write_pictures(tmp_path / 'in', SIZES[:1])
    (tmp_path / 'in/loop.jpg').symlink_to('loop.jpg')
    (tmp_path / 'in/endless.jpg').symlink_to('/dev/zero')
    os.mkfifo(tmp_path / 'in/pipe.jpg')
    longest = 'y' * 251 + '.jpg'
    (tmp_path / 'in' / longest).write_bytes(good.read_bytes())
    (tmp_path / 'in/folder.jpg').mkdir()
    bad = ['in/loop.jpg', 'in/endless.jpg', 'in/pipe.jpg', f'in/{longest}', 'in/folder.jpg', 'x' * 300, 'in/a\0b.jpg', '.',
           'foo://x', 's3://bucket/key.jpg', 'gs://', 'http://[::1/x', 'http://127.0.0.1:1/a b.jpg', 'http://127.0.0.1:99999/a.jpg',
           'http://', '://', 'http://127.0.0.1:1/..%2F..%2Fup.jpg', 'http://127.0.0.1:1/\u00e9%00.jpg',
           'file:///dev/zero', '~nobody-of-this-name/a.jpg', 'in/\x85line.jpg', 'in/' + '/'.join('d' * 3000)]  # fmt: skip
    text = '\ufeff' + '\n'.join(['in/0.png', *bad]) + '\n'
    (tmp_path / 'list.txt').write_text(text, 'utf-8')
    code, text, errors = infer('pose', tmp_path / 'list.txt', '--model', CONFIGS['pose'], '--checkpoint', weights, '--out',
                               tmp_path / 'out', '--csv')  # fmt: skip
    assert code == 1 and f'wrote results of 1 image to {tmp_path}/out; {len(bad)} failed' in text, errors
    found = failures_of(tmp_path / 'out')
    assert set(found) == {line if '://' in line else os.path.join(tmp_path, line) for line in bad} and all(
        found.values()
    )
    assert 'File name too long' in found[str(tmp_path / 'in' / longest)]
    assert found[str(tmp_path / 'in/endless.jpg')] == found['file:///dev/zero'] == 'no regular file'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in', 'list.txt', 'out'], (
        'nothing outside of the folder'
    )


def test_results_of_the_same_name_are_not_overwritten(infer, weights, tmp_path):
    """The first of two images with a result of one name, and the files of the run, are kept. The other image is a failure."""
    (source,) = write_pictures(tmp_path / 'in', SIZES[:1])
    for name in ('a', 'a_heatmaps', 'keypoints.coco', '.run', 'failures'):
        (tmp_path / f'in/{name}.png').write_bytes(source.read_bytes())
    (tmp_path / 'list.txt').write_text(
        'in/a.png\nin/a_heatmaps.png\nin/keypoints.coco.png\nin/.run.png\nin/failures.png\n'
    )
    command = (
        'pose',
        tmp_path / 'list.txt',
        '--model',
        CONFIGS['pose'],
        '--checkpoint',
        weights,
        '--out',
        tmp_path / 'out',
    )
    code, text, errors = infer(*command)
    assert code == 1 and 'results of 3 images' in text, errors  # a_heatmaps.jpg is only a picture
    bad = {str(tmp_path / 'in' / name) for name in ('keypoints.coco.png', '.run.png')}
    assert set(failures_of(tmp_path / 'out')) == bad
    assert len(json.loads((tmp_path / 'out/keypoints.coco.json').read_text())) == 3
    assert '3 of them done already' in infer(*command)[1], 'the record is that of the run'
    code, text, errors = infer(*command, '--heatmaps', '--overwrite')
    assert code == 1 and set(failures_of(tmp_path / 'out')) == bad | {str(tmp_path / 'in/a_heatmaps.png')}
    assert 'would overwrite those of the image a: rename' in errors


@pytest.mark.parametrize('name', ['failures.txt', 'keypoints.coco.json'])
def test_a_folder_in_place_of_a_file_of_the_run(infer, weights, tmp_path, name):
    write_pictures(tmp_path / 'in', SIZES[:1])
    (tmp_path / 'out' / name).mkdir(parents=True)
    code, text, errors = infer('pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', weights, '--out',
                               tmp_path / 'out')  # fmt: skip
    assert code == 2 and f'{name} is a folder' in errors and text == ''


def test_names_that_are_not_utf8(infer, weights, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    good, bad = (os.fsdecode(tmp_path / 'in').encode() + name for name in (b'/gr\xfcn.png', b'/rot\xe9.png'))
    os.rename(tmp_path / 'in/0.png', good)
    Path(os.fsdecode(bad)).write_bytes(b'no image')
    code, _, errors = infer('pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', weights, '--out',
                            tmp_path / 'out', '--csv')  # fmt: skip
    assert code == 1, errors
    assert set(failures_of(tmp_path / 'out')) == {os.fsdecode(bad)}
    assert b'gr\xfcn.png,0,' in (tmp_path / 'out/keypoints.csv').read_bytes()
    assert json.loads((tmp_path / 'out/keypoints.coco.json').read_text())[0]['file_name'] == os.fsdecode(
        b'gr\xfcn.png'
    )
    assert Path(os.fsdecode(os.fsencode(tmp_path / 'out') + b'/gr\xfcn.json')).exists()


def test_masks_that_cannot_be_read(infer, tmp_path):
    """Two masks fit. The others are failures of their images."""
    masks = tmp_path / 'masks'
    masks.mkdir()
    size = SIZES[0]
    write_pictures(tmp_path / 'in', [size] * 10)
    np.save(masks / '0.npy', np.ones(size, bool))
    (masks / '1.npy').touch()
    np.savez(masks / '2.npz', one=np.ones(size, bool), other=np.ones(size, bool))
    np.savez(masks / '9.npz', np.ones(size, bool))
    for name in '29':
        os.rename(masks / f'{name}.npz', masks / f'{name}.npy')  # one array is a mask, of two it is not known which
    np.save(masks / '3.npy', np.full(size, 'yes'))
    np.save(masks / '4.npy', np.array(1))
    np.save(masks / '5.npy', np.array([[None]]), allow_pickle=True)
    (masks / '6.png').write_bytes(b'no image')
    (masks / '7.npy').symlink_to('/dev/zero')
    (masks / '8.npy').write_bytes((masks / '0.npy').read_bytes().replace(b'(120, 90)', b'(1000000, 1000000)')[:300])
    code, text, errors = infer('depth', tmp_path / 'in', '--model', CONFIGS['depth'], '--mask-dir', masks, '--out',
                               tmp_path / 'out', '--save', 'picture')  # fmt: skip
    assert code == 1 and 'results of 2 images' in text, errors
    found = failures_of(tmp_path / 'out')
    assert [Path(path).name for path in found] == [f'{index}.png' for index in range(1, 9)]
    assert all(f'masks/{Path(path).stem}.' in reason for path, reason in found.items())


def test_a_full_disk_ends_the_run_with_one_line(infer, weights, tmp_path, monkeypatch):
    from sapiens.apis.writers import files

    write_pictures(tmp_path / 'in', SIZES * 4)
    written, plain, lock = [], files.WRITERS['.json'], threading.Lock()

    def write(file, content):
        with lock:  # several threads save
            if len(written) == 2:
                raise OSError(28, 'No space left on device')  # as a write fails: without a name
            written.append(file.name)
        plain(file, content)

    monkeypatch.setitem(files.WRITERS, '.json', write)
    command = ('pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', weights, '--out', tmp_path / 'out',
               '--save', 'json', '--batch-size', 1)  # fmt: skip
    code, _, errors = infer(*command)
    last = errors.splitlines()[-1]
    assert (
        code == 2 and last.startswith('error: ') and 'No space left on device (existing results are complete' in last
    )
    assert f"'{tmp_path}/out/" in last and 'Traceback' not in errors
    assert len(list((tmp_path / 'out').glob('[0-9]*.json'))) == 2
    monkeypatch.setitem(files.WRITERS, '.json', plain)
    code, text, _ = infer(*command)
    assert code == 0 and '16 images, 2 of them done already' in text


@pytest.mark.slow
def test_a_thousand_files_of_which_fifty_are_broken(infer, weights, tmp_path):
    check_corpus(infer, tmp_path / 'in', tmp_path / 'out', 950, 50, '--checkpoint', weights)


def test_existing_results_are_not_computed_again(infer, weights, tmp_path):
    paths = write_pictures(tmp_path / 'in')
    command = ('pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', weights, '--out', tmp_path / 'out')
    code, text, _ = infer(*command)
    assert code == 0 and '4 images, 0 of them done already' in text and not (tmp_path / 'out/failures.txt').exists()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').glob('?.*')}
    assert len(times) == 8
    (tmp_path / 'out/2.json').unlink()
    code, text, _ = infer(*command)
    assert code == 0 and '3 of them done already' in text and 'results of 1 image to' in text
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {'2.json', '2.jpg'}
    assert len(json.loads((tmp_path / 'out/keypoints.coco.json').read_text())) == len(paths)
    for name in ('1.json', '3.jpg'):
        (tmp_path / 'out' / name).write_bytes(b'')  # as after a power cut
    code, text, _ = infer(*command)
    assert code == 0 and '2 of them done already' in text
    code, text, _ = infer(*command, '--heatmaps')
    assert code == 0 and '0 of them done already' in text and (tmp_path / 'out/0_heatmaps.jpg').exists()
    code, _, errors = infer(*command, '--threshold', 0.5)
    assert code == 2 and 'other settings' in errors
    assert infer(*command, '--threshold', 0.5, '--overwrite')[0] == 0


def test_other_weights_under_the_same_name_are_noticed(infer, weights, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    file, config = tmp_path / 'pose.pth', tmp_path / 'pose.py'
    file.write_bytes(weights.read_bytes())
    config.write_text(f"_base_ = '{CONFIGS['pose']}'\n")
    command = ('pose', tmp_path / 'in', '--model', config, '--checkpoint', file, '--out', tmp_path / 'out')
    assert infer(*command)[0] == 0
    os.utime(file)
    config.write_text(config.read_text() + 'train_cfg = dict(max_iters=7)\n# a comment\n')
    assert infer(*command)[0] == 0, 'what does not change results is not noticed'
    content = torch.load(weights, weights_only=True)
    content['state_dict']['head.final_layer.bias'] += 1
    torch.save(content, file)
    code, _, errors = infer(*command)
    assert code == 2 and 'weights of pose: its content has changed' in errors
    file.write_bytes(weights.read_bytes())
    config.write_text(config.read_text() + 'model = dict(test_cfg=dict(flip_test=False))\n')
    code, _, errors = infer(*command)
    assert code == 2 and 'config of pose: its content has changed' in errors
    code, _, errors = infer('pose', tmp_path / 'in', '--model', config, '--out', tmp_path / 'new')
    assert code == 0 and 'the weights of pose are random: no --checkpoint was given' in errors
    code, _, errors = infer('pose', tmp_path / 'in', '--model', config, '--out', tmp_path / 'new')
    assert code == 2 and 'weights of pose: they are random, new in each run' in errors


def test_one_command_at_a_time_writes_to_a_folder(infer, weights, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    command = ('pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', weights, '--out', tmp_path / 'out')
    with FolderLock(tmp_path / 'out', ''):
        code, _, errors = infer(*command)
        assert code == 2 and 'out is in use by process' in errors and 'choose another --out' in errors
        assert [path.name for path in (tmp_path / 'out').iterdir()] == ['.lock']
    assert not (tmp_path / 'out').exists()  # empty, and made by the lock
    left = tmp_path / 'out/.0.json.0123456789ab.tmp'  # of a killed command
    left.parent.mkdir()
    left.touch()
    assert infer(*command)[0] == 0 and not left.exists() and not (tmp_path / 'out/.lock').exists()


def test_missing_weights_are_named_before_a_detector_is_fetched(infer, weights, tmp_path, monkeypatch):
    write_pictures(tmp_path / 'in', ((32, 24),))
    monkeypatch.setattr('sapiens.apis.detectors.automatic.choose_detector', lambda say=print: pytest.fail('chosen'))
    wrong = weights.with_name('pose.pht')
    command = 'pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', wrong, '--out', tmp_path / 'out'
    code, _, errors = infer(*command)
    assert code == 2 and f'no checkpoint {wrong}; in {wrong.parent} there is pose.pth' in errors


def test_weights_of_another_task_are_refused(infer, weights, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:1])
    code, _, errors = infer(
        'seg', tmp_path / 'in', '--model', CONFIGS['seg'], '--checkpoint', weights, '--out', tmp_path / 'out'
    )
    assert code == 2 and 'tensors would stay random, such as decode_head.' in errors and 'In the file: ' in errors
    assert 'Traceback' not in errors and not (tmp_path / 'out').exists()


def test_settings_without_results_are_not_kept(infer, weights, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/a.jpg').write_bytes(b'no image')
    command = ('pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', weights, '--out', tmp_path / 'out')
    assert infer(*command)[0] == 1 and not (tmp_path / 'out/.run.json').exists()
    write_pictures(tmp_path / 'in', SIZES[:1])
    assert infer(*command, '--threshold', 0.5)[0] == 1 and (tmp_path / 'out/.run.json').exists()


def test_inputs_are_never_written_to(infer, weights, tmp_path):
    write_pictures(tmp_path / 'in')
    command = ('depth', tmp_path / 'in', '--model', CONFIGS['depth'])
    for out in (tmp_path / 'in', tmp_path / 'in' / 'out', tmp_path):
        code, _, errors = infer(*command, '--out', out)
        assert code == 2 and 'choose' in errors, out
    assert len(list(tmp_path.rglob('*'))) == 1 + len(SIZES)


def test_all_tasks_in_one_pass(infer, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:2])
    code, text, errors = infer('all', tmp_path / 'in', '--model', *CONFIGS.values(), '--out', tmp_path / 'out')
    assert code == 0, errors
    files = {str(path.relative_to(tmp_path / 'out')) for path in (tmp_path / 'out').rglob('0*')}
    assert files == {
        'pose/0.json', 'pose/0.jpg', 'seg/0.npy', 'seg/0_seg.npy', 'seg/0.jpg', 'depth/0.npy', 'depth/0.jpg',
        'normal/0.npy', 'normal/0.jpg', 'features/0.npy',
    }  # fmt: skip
    assert 'results of 2 images' in text and '2 people' in text
    for task in ('depth', 'normal'):
        assert np.load(tmp_path / f'out/{task}/1.npy').shape[:2] == SIZES[1]


def test_masks_of_people_are_never_required(infer, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:2])
    masks = tmp_path / 'masks'
    masks.mkdir()
    mask = np.zeros(SIZES[0], bool)
    mask[40:80, 30:60] = True
    np.save(masks / '0.npy', mask)
    command = ('depth', tmp_path / 'in', '--model', CONFIGS['depth'], '--save', 'depth', 'picture', 'ply',
               '--picture-format', 'png', '--no-legend')  # fmt: skip
    assert infer(*command, '--out', tmp_path / 'out', '--mask-dir', masks)[0] == 0
    shown = np.asarray(Image.open(tmp_path / 'out/0.png'))
    assert (shown[~mask] == 100).all() and (shown[mask] != 100).any()
    assert b'element vertex 1200\n' in (tmp_path / 'out/0.ply').read_bytes()[:200]
    assert b'element vertex 12800\n' in (tmp_path / 'out/1.ply').read_bytes()[:200]
    assert np.isfinite(np.load(tmp_path / 'out/0.npy')).all(), 'the map itself is not masked'
    np.save(masks / '1.npy', mask)
    code, _, errors = infer(*command, '--out', tmp_path / 'wrong', '--mask-dir', masks)
    assert code == 1 and '1.npy is 120 x 90, the image 64 x 200' in errors
    code = infer(*command, '--out', tmp_path / 'model', '--mask-model', CONFIGS['seg'])[0]
    assert code == 0 and not list((tmp_path / 'model').rglob('*seg*'))


def test_boxes_of_a_file(infer, weights, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:2])
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps([dict(image_id=0, bbox=[5, 5, 60, 90], score=0.8, category_id=1)] * 2))
    code, text, _ = infer('pose', tmp_path / 'in', '--model', CONFIGS['pose'], '--checkpoint', weights, '--boxes', boxes,
                          '--out', tmp_path / 'out', '--json-layout', 'published')  # fmt: skip
    assert code == 0 and '2 people' in text
    people = json.loads((tmp_path / 'out/0.json').read_text())['instance_info']
    assert [person['bbox'] for person in people] == [[[5, 5, 65, 95]]] * 2 and people[0]['bbox_score'] == 0.8
    assert json.loads((tmp_path / 'out/1.json').read_text())['instance_info'] == []
    assert {entry['image_id'] for entry in json.loads((tmp_path / 'out/keypoints.coco.json').read_text())} == {0}
    assert f'{boxes}: boxes for 1 of 2 images, 1 are not in the file, such as {tmp_path}/in/1.png' in text


def test_keypoints_of_another_set_in_all_files(infer, weights, tmp_path):
    """Body 25 of 17 keypoints: neck and middle of the hips are computed, the feet are unknown."""
    write_pictures(tmp_path / 'in', SIZES[:2])
    options = ('--model', CONFIGS['pose'], '--checkpoint', weights, '--keypoints-as', 'openpose25', '--csv')
    code, _, errors = infer('pose', tmp_path / 'in', *options, '--out', tmp_path / 'out')
    assert code == 0, errors
    document = json.loads((tmp_path / 'out/0.json').read_text())
    names = document['meta_info']['keypoint_name2id']
    (person,) = document['instance_info']
    points, scores = np.array(person['keypoints'], float), np.array(person['keypoint_scores'])
    assert len(names) == len(points) == 25 and document['meta_info']['num_skeleton_links'] == 24
    middle = points[[names['left_shoulder'], names['right_shoulder']]].mean(0)
    np.testing.assert_allclose(points[names['neck']], middle, atol=0.01)
    unknown = np.isnan(points[:, 0])
    assert {name for name, index in names.items() if unknown[index]} == {
        f'{side}_{part}' for side in ('left', 'right') for part in ('big_toe', 'small_toe', 'heel')
    }
    assert (scores[unknown] == 0).all() and (tmp_path / 'out/0.jpg').is_file()
    entries = json.loads((tmp_path / 'out/keypoints.coco.json').read_text())
    assert {len(entry['keypoints']) for entry in entries} == {75}
    assert 'mid_hip' in (tmp_path / 'out/keypoints.csv').read_text().splitlines()[0]
    code, _, errors = infer('pose', tmp_path / 'in', *options[:4], '--out', tmp_path / 'out')
    assert code == 2 and 'keypoints_as' in errors, 'results of another set are not mixed'


@pytest.mark.parametrize(
    'arguments, text',
    [
        (('pose', 'IN', '--model', CONFIGS['seg']), "is a model for 'seg'"),
        (('pose', 'IN', '--model', CONFIGS['pose'], CONFIGS['seg']), 'takes one model'),
        (('all', 'IN', '--model', CONFIGS['seg'], CONFIGS['seg']), "two models for 'seg'"),
        (('seg', 'IN', '--model', CONFIGS['seg'], '--boxes', 'x.json'), 'are for pose'),
        (('seg', 'IN', '--model', CONFIGS['seg'], '--save', 'json'), 'none of json'),
        (('seg', 'IN', '--model', CONFIGS['seg'], '--checkpoint', 'a', 'b'), '2 files for 1 models'),
        (('seg', 'IN', '--model', CONFIGS['seg'], '--mask-model', CONFIGS['seg']), 'for depth and normal'),
        (('pose', 'IN', '--model', CONFIGS['pose'], '--num-keypoints', '133'), 'can give 17'),
        (
            ('pose', 'IN', '--model', 'sapiens-pose-1b', '--num-keypoints', '17', '--keypoints-as', 'openpose25'),
            '--num-keypoints 17 and --keypoints-as openpose25 both name the keypoints to give: give one of them',
        ),
        (
            ('pose', 'IN', '--model', CONFIGS['pose'], '--num-keypoints', 'openpose25'),
            'openpose25 is the name of a skeleton: --keypoints-as openpose25',
        ),
        (('pose', 'IN', '--model', CONFIGS['pose'], '--checkpoint', 'nowhere.pth'), 'nowhere.pth'),
        (('pose', 'IN', '--model', 'sapiens-pose-3b'), 'did you mean'),
        (('pose', 'nowhere', '--model', CONFIGS['pose']), 'nowhere is not a file'),
        (('pose', 'IN', '--model', CONFIGS['pose'], '--devices', 'cpu,tpu'), 'tpu'),
        (('pose', 'IN', '--model', CONFIGS['pose'], '--crop', 'face'), "no group 'face'"),
        (('pose', 'IN', '--model', CONFIGS['pose'], '--save', 'hand'), "no group 'left_hand'"),
        (
            ('pose', 'IN', '--model', 'sapiens_tiny_synthetic308-128x96', '--num-keypoints', '17', '--crop', 'face'),
            "'face'",
        ),
        (('pose', 'IN', 'x.mp4', '--model', CONFIGS['pose'], '--boxes', 'b.json'), '--boxes is for images'),
        (('depth', 'IN', '7', '--model', CONFIGS['depth'], '--mask-dir', 'IN'), '--mask-dir is for images'),
    ],
)
def test_wrong_arguments_are_explained(capsys, monkeypatch, tmp_path, arguments, text):
    write_pictures(tmp_path / 'in', SIZES[:1])
    (tmp_path / 'x.mp4').touch()
    monkeypatch.chdir(tmp_path)
    arguments = [str(tmp_path / 'in') if argument == 'IN' else argument for argument in arguments]
    assert status_of('infer', *arguments, '--out', tmp_path / 'out') == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith('error: ') and text in last


def plan_of(out, weights):
    models = dict(pose=dict(model=CONFIGS['pose'], checkpoint=str(weights), task='pose', batch_size=2))
    return Plan(models=models, out=out, saving=Saving(kinds=('json',)))


def test_workers_share_the_images(weights, tmp_path, monkeypatch):
    """Two processes give the files of one, and report the same failures."""
    fork_spawned_processes(monkeypatch)
    write_pictures(tmp_path / 'in', SIZES * 2)
    (tmp_path / 'in/bad.jpg').write_bytes(b'')
    items = find_inputs(tmp_path / 'in')
    alone = sorted(run_plan(plan_of(tmp_path / 'one', weights), items, ['cpu']), key=str)
    shared = sorted(run_plan(plan_of(tmp_path / 'two', weights), items, ['cpu'], jobs=2), key=str)
    assert (
        shared == alone
        and len(shared) == 9
        and [outcome.error for outcome in shared if outcome.error] == ['empty file']
    )
    for file in (tmp_path / 'one').iterdir():
        one, two = (json.loads((tmp_path / name / file.name).read_text()) for name in ('one', 'two'))
        first, second = (value['instance_info'][0]['keypoints'] for value in (one, two))
        np.testing.assert_allclose(first, second, atol=1e-3)
    assert len(list((tmp_path / 'two').iterdir())) == 8


def test_images_of_a_killed_worker_are_computed_by_another(weights, tmp_path, monkeypatch):
    """The worker that first has an image to write is killed."""
    fork_spawned_processes(monkeypatch)
    write_pictures(tmp_path / 'in', SIZES[:1] * 6)
    (tmp_path / 'killing.py').write_text(f"""
import os, pathlib
from sapiens.apis import batch_job
save = batch_job.save
def killed(plan, job):
    try:
        pathlib.Path({str(tmp_path / 'once')!r}).touch(exist_ok=False)
    except FileExistsError:
        return save(plan, job)
    os.kill(os.getpid(), 9)
batch_job.save = killed
""")
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = '{CONFIGS['pose']}'\ncustom_imports = dict(imports=['killing'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    plan = plan_of(tmp_path / 'out', weights)
    plan.models['pose']['model'] = str(config)
    outcomes = list(run_plan(plan, find_inputs(tmp_path / 'in'), ['cpu'], jobs=2))
    assert sorted(outcome.item.name for outcome in outcomes) == list('012345') and (tmp_path / 'once').exists()
    assert not any(outcome.error for outcome in outcomes)


def test_an_image_that_ends_its_worker_is_the_only_failure(monkeypatch):
    """A worker holds several images when it ends. Which of them was the reason is found out at the end."""

    def share(plan, items, places):
        lost = items if 'bad' in items else []
        if len(places) > 1:  # of two workers one ends, with three images
            lost = items[-3:]
        for item in items:
            if item not in lost:
                yield Outcome(item)
        return lost

    monkeypatch.setattr(batch_job, '_share', share)
    outcomes = list(batch_job._distribute(None, ['a', 'b', 'c', 'bad', 'd'], ['cpu', 'cpu']))
    assert {outcome.item: bool(outcome.error) for outcome in outcomes} == dict(a=0, b=0, c=0, d=0, bad=1)
    assert len(outcomes) == 5


@pytest.mark.slow
def test_the_error_of_a_stopped_worker_is_reported(tmp_path):
    write_pictures(tmp_path / 'in')
    plan = plan_of(tmp_path / 'out', tmp_path / 'nowhere.pth')
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        list(run_plan(plan, find_inputs(tmp_path / 'in'), ['cpu'], jobs=2))


def test_videos_and_images_together(infer, weights, tmp_path):
    pytest.importorskip('av')
    from ..apis.test_video import frames, write_video

    write_pictures(tmp_path / 'in', SIZES[:1])
    video = write_video(tmp_path / 'dance.mp4', frames(6))
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    command = ('pose', tmp_path / 'in', video, '--model', CONFIGS['pose'], '--checkpoint', weights, '--out', tmp_path / 'out',
               '--smooth')  # fmt: skip
    code, text, errors = infer(*command)
    assert code == 0, errors
    document = json.loads((tmp_path / 'out/dance.json').read_text())
    assert len(document['frames']) == 6 and document['frames'][5]['instance_info'][0]['track_id'] == 0
    assert (tmp_path / 'out/dance.mp4').stat().st_size and (tmp_path / 'out/0.json').exists()
    code, text, _ = infer(*command)
    assert code == 0 and '1 video, 1 of them done already' in text
    code, _, errors = infer('pose', tmp_path / 'broken.mp4', *command[1:])
    assert code == 1 and 'broken.mp4' in errors and 'dance' not in errors
    code, _, errors = infer(*command, '--side-by-side')
    assert code == 2 and 'other settings' in errors and 'side_by_side' in errors
    code, _, errors = infer('seg', video, '--model', CONFIGS['seg'], '--out', tmp_path / 'seg', '--save', 'labels')
    assert code == 2 and 'videos have the kinds picture' in errors


def test_videos_of_one_name_and_videos_that_break(infer, weights, tmp_path):
    """Two videos with one name have separate results. A broken one is reported and repeated by the next run."""
    pytest.importorskip('av')
    from ..apis.test_video import NOISE, broken, frames, write_video

    for name in ('one', 'two', 'bad'):
        (tmp_path / name).mkdir()
    one = write_video(tmp_path / 'one/dance.mp4', frames(6), sound=None)
    two = write_video(tmp_path / 'two/dance.mp4', frames(4), sound=None)
    bad = broken(tmp_path / 'bad/dance.mkv', NOISE, 'cut')
    command = ('pose', one, two, bad, '--model', CONFIGS['pose'], '--checkpoint', weights, '--out', tmp_path / 'out')
    out = tmp_path / 'out'
    for done in (0, 2):
        code, text, errors = infer(*command)
        assert code == 1 and f'3 videos, {done} of them done already' in text and f'failed {bad}: ' in errors
        assert f'0 images and {2 - done} videos' in text and '1 failed' in text
        assert (out / 'failures.txt').read_text().split('\t')[0] == str(bad)
    counts = {path.name: len(json.loads(path.read_text())['frames']) for path in out.glob('dance*.json')}
    assert (
        sorted(counts.values()) == [4, 6] and len(list(out.glob('*.mp4'))) == 2 and len(list(out.glob('*.part'))) == 2
    )
    write_video(bad, frames(5), sound=None)
    code, text, errors = infer(*command)
    assert code == 0 and '0 images and 1 video to' in text, errors
    assert len(list(out.glob('dance*.json'))) == 3 and not list(out.glob('*.part'))
    assert not (out / 'failures.txt').exists()


def test_help_teaches_with_examples():
    text = run('tools/infer.py', '--help').stdout
    assert text.count('sapiens infer') >= 6
    assert all(word in text for word in ('--detector', 'openpose', 'transformers:', '--jobs-per-device'))
