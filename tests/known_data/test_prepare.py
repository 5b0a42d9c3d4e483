"""``sapiens prepare`` on miniatures of every data set that it knows."""

import json
import os
import re
import shutil
import tarfile
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sapiens.commands import prepare as command
from sapiens.known_data import KNOWN, find_data, prepare
from sapiens.known_data import unpack as unpacking
from sapiens.registry import DATASETS
from sapiens.synthetic.scans.files import find_scans
from sapiens.utils.counting import count_of

from . import miniatures

ROOT = Path(__file__).parents[2]


PUBLISHED = dict(KNOWN)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Miniatures have fewer images than the published sets."""
    for name in ('cihp', 'lip'):
        monkeypatch.setitem(KNOWN, name, replace(PUBLISHED[name], expected={}))


def run(*arguments):
    return command.main([str(argument) for argument in arguments])


def counts(parts):
    return {part.name: part.samples for part in parts}


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('coco', {'train of coco17.py': 4, 'val of coco17.py': 3}),
        ('cihp', {'train of cihp.py': 2, 'val of cihp.py': 1}),
        ('lip', {'train of lip.py': 2, 'val of lip.py': 1}),
        ('atr', {'train': 2}),
        ('pascal-person-part', {'train': 1}),
        ('face-synthetics', {'train of face.py': 99, 'val of face.py': 1}),
    ],
)
def test_archives_become_what_configs_read(tmp_path, capsys, name, expected):
    """From archives in the root to samples, with the exit status 0, and again without writing a file."""
    getattr(miniatures, name.replace('-', '_'))(tmp_path)
    assert run(name, '--root', tmp_path) == 0
    text = capsys.readouterr().out
    for part, count in expected.items():
        assert f'{part}: {count_of(count, "sample")}' in text
    assert KNOWN[name].license in text and KNOWN[name].source in text and 'missing or wrong' not in text
    folder = tmp_path / KNOWN[name].folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()}
    assert run(name, '--root', tmp_path) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file()} == before
    assert ' 0 files unpacked, ' in capsys.readouterr().out


@pytest.mark.parametrize(('name', 'train', 'val'), [('cihp', '28,280', '5,000'), ('lip', '30,462', '10,000')])
def test_a_part_of_a_published_set_is_told(tmp_path, capsys, monkeypatch, name, train, val):
    monkeypatch.setitem(KNOWN, name, PUBLISHED[name])
    getattr(miniatures, name)(tmp_path)
    assert run(name, '--root', tmp_path) == 1
    text = capsys.readouterr().out
    assert f'2 samples of train, but the published set has {train}' in text
    assert f'1 sample of val, but the published set has {val}' in text and 'next: put what is missing into' in text


@pytest.mark.parametrize(
    ('box', 'problem'),
    [
        ([2.0, float('nan'), 4.0, 4.0], 'a box that is not finite'),
        ([2.0, 2.0, float('inf'), 4.0], 'a box that is not finite'),
        ([8.0, 8.0, -4.0, 4.0], 'a box that is of negative size'),
    ],
)
def test_boxes_that_are_none_are_named(tmp_path, capsys, box, problem):
    """Also of people whose keypoints are not labeled, and where the evaluation is in detected boxes."""
    miniatures.coco(tmp_path)
    assert run('coco', '--root', tmp_path) == 0
    (tmp_path / 'annotations_trainval2017.zip').unlink()  # its files are changed
    for split in ('train', 'val'):
        path = tmp_path / f'coco/annotations/person_keypoints_{split}2017.json'
        content = json.loads(path.read_text())
        content['annotations'][1] |= dict(bbox=box, num_keypoints=0)
        path.write_text(json.dumps(content))
    capsys.readouterr()
    assert run('coco', '--root', tmp_path) == 1
    folder, text = f'{tmp_path}/coco/annotations/person_keypoints', capsys.readouterr().out
    assert f'{folder}_train2017.json: 1 {problem}: annotation 2' in text
    assert f'{folder}_val2017.json: annotation 2 has {problem}: {box}' in text


def test_wholebody_needs_the_images_of_coco(tmp_path, capsys):
    miniatures.coco_wholebody(tmp_path)
    assert run('coco-wholebody', '--root', tmp_path) == 1
    text = capsys.readouterr().out
    assert '4 missing image' in text and 'needs coco: `sapiens prepare coco`' in text
    assert run('coco', '--root', tmp_path) == 0 and run('wholebody', '--root', tmp_path) == 0
    text = capsys.readouterr().out
    assert 'train of wholebody.py: 4 samples' in text and 'val of wholebody.py: 3 samples' in text
    assert text.splitlines()[-1].endswith('sapiens check configs/pose/sapiens_0.3b_wholebody-1024x768.py')


def test_only_what_an_evaluation_reads(tmp_path, capsys):
    miniatures.coco(tmp_path)
    assert run('coco', '--root', tmp_path, '--only', 'val') == 0
    text = capsys.readouterr().out
    assert 'val of coco17.py: 3 samples' in text and 'train of coco17' not in text and 'train2017.zip' not in text
    assert not (tmp_path / 'coco/annotations/person_keypoints_train2017.json').exists()
    assert not (tmp_path / 'coco/train2017').exists()
    # An archive of the other split that is given is no mistake.
    assert run('coco', '--root', tmp_path, '--only', 'val', '--from', tmp_path / 'train2017.zip') == 0
    assert 'train2017.zip: 0 files unpacked' in capsys.readouterr().out
    (tmp_path / 'train2017.zip').unlink()
    assert run('coco', '--root', tmp_path) == 1
    assert '4 missing image: ' in capsys.readouterr().out


def test_hi4d_is_unpacked_and_its_renderer_named(tmp_path, capsys):
    miniatures.hi4d(tmp_path / 'down')
    (tmp_path / 'data').mkdir()
    assert run('hi4d', '--root', tmp_path / 'data') == 1  # there is nothing to render yet
    assert f'next: put what is missing into {tmp_path}/data/hi4d, then sapiens prepare' in capsys.readouterr().out
    assert run('hi4d', '--root', tmp_path / 'data', '--from', tmp_path / 'down/pair28_1.tar.gz') == 1
    text = capsys.readouterr().out
    assert (
        f'next: sapiens scans {tmp_path}/data/hi4d --protocol hi4d, then sapiens prepare hi4d' in text
        and 'not complete' in text
    )
    unpacked = tmp_path / 'data/hi4d'
    assert (unpacked / 'pair28/dance28/images/4/000001.jpg').is_file()
    # Cameras and pairs that are not evaluated stay in the archive.
    assert not (unpacked / 'pair28/dance28/images/16').exists() and not (unpacked / 'pair00').exists()
    miniatures.hi4d_rendered(unpacked)
    assert run('hi4d', '--root', tmp_path / 'data', '--only', 'val') == 1
    text = capsys.readouterr().out
    assert 'test of hi4d_depth.py: 6 samples' in text and '6 samples of test, but the published set has 1,195' in text
    shutil.rmtree(unpacked / 'pair28/dance28/depth')
    assert run('hi4d', '--root', tmp_path / 'data') == 1
    assert 'It is in' not in capsys.readouterr().out  # depth is rendered
    shutil.rmtree(unpacked / 'pair28/dance28/images')
    assert run('hi4d', '--root', tmp_path / 'data') == 1
    assert 'It is in pair*' in capsys.readouterr().out


def test_rendered_sets_are_checked(tmp_path, capsys, monkeypatch):
    miniatures.thuman2_rendered(tmp_path / 'thuman2')
    assert run('thuman2', '--root', tmp_path) == 1
    text = capsys.readouterr().out
    assert 'test of thuman2_depth.py: 6 samples' in text and 'the published set has 1,578' in text
    last = text.splitlines()[-1]
    assert last.startswith(f'next: sapiens scans THuman2.0_Release --out {tmp_path}/thuman2 --protocol thuman2, then ')
    monkeypatch.setitem(KNOWN, 'thuman2', replace(PUBLISHED['thuman2'], expected={}))
    assert run('thuman2', '--root', tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith('--split test')
    (tmp_path / 'thuman2/face/normal/000001.npy').unlink()
    assert run('thuman2', '--root', tmp_path) == 1
    text = capsys.readouterr().out
    assert 'test of thuman2_normal.py: not complete' in text and '--protocol thuman2' in text
    miniatures.geometry(tmp_path / 'render_people', count=4)
    miniatures.write_tree(
        tmp_path / 'render_people',
        {f'{kind}/{n:06d}.{end}': content for n in range(1, 5) for kind, end, content in (
            ('albedo', 'png', miniatures.image(n, 'PNG')), ('camera_intrinsics', 'txt', b'50 0 24\n0 50 32\n0 0 1\n'),
        )},
    )  # fmt: skip
    parts = prepare(find_data('render-people'), tmp_path, splits=('train',), report=print)
    # The last hundredth is held out, which is none of four.
    assert set(counts(parts).values()) == {4} and not any(part.problems for part in parts)


@pytest.mark.parametrize(
    ('name', 'scans', 'files'),
    [
        ('thuman2', 2, ['0000.obj', 'material0.jpeg', 'material0.mtl', 'smplx_param.pkl']),
        (
            'render-people', 2,
            ['rp_ann_posed_001_100k.mtl', 'rp_ann_posed_001_100k.obj', 'rp_ann_posed_001_30k.obj', 'rp_ann_posed_001_dif_8k.jpg'],
        ),
    ],
)  # fmt: skip
def test_scans_are_unpacked_and_their_renderer_named(tmp_path, capsys, name, scans, files):
    getattr(miniatures, name.replace('-', '_'))(tmp_path)
    data = KNOWN[name]
    assert run(name, '--root', tmp_path) == 1  # there are no renderings yet
    text, place = capsys.readouterr().out, tmp_path / data.unpacked
    assert text.splitlines()[-1].startswith(f'next: sapiens scans {place} --out {tmp_path}/{data.folder} --')
    assert '(not needed for renderings that are there)' in text and 'It is in' not in text
    assert len(list(place.iterdir())) == scans
    first = min(place.iterdir())
    assert sorted(path.name for path in first.rglob('*') if path.is_file()) == files
    assert len(find_scans(place)) == scans and not (tmp_path / data.folder).exists()
    assert run(name, '--root', tmp_path) == 1 and ' 0 files unpacked' in capsys.readouterr().out
    with pytest.raises(ValueError, match=r'has no file of .*such as .*_?100k\.obj|such as .*0000/0000\.obj'):
        miniatures.lip(tmp_path / 'other')
        run(name, '--root', tmp_path, '--from', tmp_path / 'other/TrainVal_images.zip')


def test_label_maps_of_pascal_parts(tmp_path):
    miniatures.pascal_person_part(tmp_path)
    assert run('pascal_person_part', '--root', tmp_path) == 0
    folder = tmp_path / 'pascal_person_part'
    assert [path.name for path in (folder / 'labels').iterdir()] == ['2008_000001.png']
    # Only the photograph with a label map is unpacked.
    assert [path.name for path in (folder / 'images').iterdir()] == ['2008_000001.jpg']
    found = np.array(Image.open(folder / 'labels/2008_000001.png'))
    # Head (1) is smaller than torso (11), so it counts where they overlap. The rest of the person is ignored.
    assert (
        found[17, 20] == 1 and found[17, 7] == 11 and found[30, 7] == 11 and found[55, 7] == 255 and found[0, 0] == 0
    )


def test_folders_that_were_unpacked_by_hand_become_links(tmp_path, capsys):
    miniatures.lip(tmp_path / 'down')
    for archive in (tmp_path / 'down').glob('*.zip'):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(tmp_path / 'by_hand')
    (tmp_path / 'data').mkdir()
    assert run('lip', '--root', tmp_path / 'data', '--from', tmp_path / 'by_hand') == 0
    first = tmp_path / 'by_hand/TrainVal_images/train_images/77_471474.jpg'
    assert os.path.samefile(first, tmp_path / 'data/lip/images/train_images/77_471474.jpg')
    # A folder of downloads has no file of the data set itself, but archives.
    (tmp_path / 'other').mkdir()
    assert run('lip', '--root', tmp_path / 'other', '--from', tmp_path / 'down') == 0
    assert 'val of lip.py: 1 sample' in capsys.readouterr().out


# ---------------------------------------------------------------------- what goes wrong


def test_an_interrupted_unpacking_continues(tmp_path, monkeypatch, capsys):
    miniatures.face_synthetics(tmp_path)
    real, left = unpacking.move_into_place, [100]

    def stop(*arguments, **options):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(*arguments, **options)

    monkeypatch.setattr(unpacking, 'move_into_place', stop)
    with pytest.raises(KeyboardInterrupt):
        run('face-synthetics', '--root', tmp_path)
    names = os.listdir(tmp_path / 'face_synthetics')
    assert len(names) == 99 and not any(name.endswith('.tmp') for name in names)  # neither parts nor a lock
    assert run('face-synthetics', '--root', tmp_path) == 0
    assert '201 files unpacked, 99 files there already' in capsys.readouterr().out


def test_half_a_file_of_another_unpacking_is_not_written_over(tmp_path):
    miniatures.lip(tmp_path)
    half = tmp_path / 'lip/images/train_images/77_471474.jpg'
    half.parent.mkdir(parents=True)
    half.write_bytes(b'half')
    with pytest.raises(
        ValueError, match=r'77_471474.jpg is in the way: it has 4 bytes, .* remove it, or take the archive away'
    ):
        run('lip', '--root', tmp_path)
    assert half.read_bytes() == b'half'


def damage(path, change):
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize('where', ['cut', 'byte', 'empty', 'page', 'part'])
def test_damaged_zips(tmp_path, where):
    miniatures.lip(tmp_path)
    path = tmp_path / 'TrainVal_images.zip'
    text = 'is damaged .*download it again'
    if where == 'cut':
        damage(path, lambda content: content.__delitem__(slice(len(content) // 2, None)))
    elif where == 'byte':
        with zipfile.ZipFile(path) as archive:
            start = archive.infolist()[0].header_offset
        damage(path, lambda content: content.__setitem__(slice(start + 500, start + 504), b'\0\1\2\3'))
    elif where == 'empty':
        path.write_bytes(b'')
        text = 'is empty: download it again'
    elif where == 'page':
        path.write_text('<!DOCTYPE html><html>Sign in</html>')
        text = 'is a web page, not an archive'
    else:
        path.rename(f'{path}.crdownload')
        text = 'is not complete: its download goes on, or was stopped'
    with pytest.raises(ValueError, match=text):
        run('lip', '--root', tmp_path)
    assert not list(tmp_path.rglob('*.tmp'))


@pytest.mark.parametrize('name', ['cihp', 'pascal-person-part'])
@pytest.mark.parametrize('share', [0.1, 0.3, 0.5])
def test_cut_tars(tmp_path, name, share):
    getattr(miniatures, name.replace('-', '_'))(tmp_path)
    path = next(tmp_path.glob('*.tar*')) if name == 'cihp' else tmp_path / 'VOCtrainval_03-May-2010.tar'
    end = int(path.stat().st_size * share)
    damage(path, lambda content: content.__delitem__(slice(end, None)))
    with pytest.raises(ValueError, match='is damaged .*download it again'):
        run(name, '--root', tmp_path)


def test_a_tar_that_ends_between_two_members(tmp_path):
    """Where tarfile sees nothing wrong."""
    path = tmp_path / 'VOCtrainval_03-May-2010.tar'
    miniatures.pascal_person_part(tmp_path)
    content = path.read_bytes()
    second = content.index(b'VOCdevkit/VOC2010/JPEGImages/2008_000002.jpg')
    path.write_bytes(content[:second])
    with pytest.raises(ValueError, match='damaged .its end is missing.: download it again'):
        run('pascal-person-part', '--root', tmp_path)


def test_too_little_disk(tmp_path, monkeypatch, capsys):
    usage = namedtuple('usage', 'total used free')
    miniatures.lip(tmp_path)
    miniatures.cihp(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(unpacking.shutil, 'disk_usage', lambda path: usage(10**12, 10**12 - 1000, 1000))
        for name, archive in (('lip', 'TrainVal_images.zip'), ('cihp', 'instance-level_human_parsing.tar.gz')):
            with pytest.raises(OSError, match=rf'{archive} needs .* the disk has 1 kB left: free space, or'):
                run(name, '--root', tmp_path)
            assert not list((tmp_path / name).rglob('*.*'))
    assert run('lip', '--root', tmp_path) == 0
    # Nothing is needed for what is there.
    monkeypatch.setattr(unpacking.shutil, 'disk_usage', lambda path: usage(10**12, 10**12 - 1000, 1000))
    assert run('lip', '--root', tmp_path) == 0


def test_wrong_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match='--root .*nowhere: there is no such folder'):
        run('lip', '--root', tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='--from .*nowhere: there is no such file or folder'):
        run('lip', '--root', tmp_path, '--from', tmp_path / 'nowhere')
    miniatures.coco(tmp_path)
    assert run('coco', '--root', tmp_path) == 0
    with pytest.raises(ValueError, match='is the folder of COCO .* itself: give the one above'):
        run('coco', '--root', tmp_path / 'coco')
    with pytest.raises(ValueError, match=r'has no file of LIP .*such as train_images/.*it holds val2017/0+1\.jpg'):
        run('lip', '--root', tmp_path, '--from', tmp_path / 'val2017.zip')
    (tmp_path / 'nothing').mkdir()
    with pytest.raises(ValueError, match='has no file of LIP .*it is empty'):
        run('lip', '--root', tmp_path, '--from', tmp_path / 'nothing')
    with pytest.raises(ValueError, match="'lipp' does not exist; did you mean 'lip'"):
        find_data('lipp')


def test_missing_annotations_and_what_has_them(tmp_path, capsys):
    miniatures.coco(tmp_path)
    (tmp_path / 'annotations_trainval2017.zip').unlink()
    assert run('coco', '--root', tmp_path) == 1
    text = capsys.readouterr().out
    assert re.search(r'person_keypoints_val2017\.json.* It is in annotations_trainval2017\.zip', text)
    assert f'next: put what is missing into {tmp_path / "coco"}, then sapiens prepare coco' in text


def test_members_cannot_leave_the_folder(tmp_path):
    data = find_data('hi4d')
    inside = 'pair28/dance28/images/4/000001.jpg'
    assert data.place(inside)[1] == inside
    for path in ('pair28/dance28/images/4/../../../../../x.jpg', '../pair28/dance28/images/4/1.jpg', f'/{inside}'):
        assert data.place(path) is None


def test_links_in_archives_are_left_out(tmp_path):
    miniatures.cihp(tmp_path)
    with tarfile.open(tmp_path / 'instance-level_human_parsing.tar.gz', 'w:gz') as archive:
        info = tarfile.TarInfo('Training/Images/evil.jpg')
        info.type, info.linkname = tarfile.SYMTYPE, '/etc/passwd'
        archive.addfile(info)
    with pytest.raises(ValueError, match='has no file of CIHP'):
        run('cihp', '--root', tmp_path)
    assert not (tmp_path / 'cihp/Training').exists()


def test_images_are_decoded_on_request(tmp_path, capsys):
    miniatures.lip(tmp_path)
    assert run('lip', '--root', tmp_path) == 0
    path = tmp_path / 'lip/images/val_images/100034_483681.jpg'
    path.write_bytes(b'\xff\xd8\xff' + b'\0' * 40)
    (tmp_path / 'TrainVal_images.zip').unlink()
    assert run('lip', '--root', tmp_path, '--images') == 1
    assert 'unreadable image' in capsys.readouterr().out


# ---------------------------------------------------------------------- the table


def test_listing_shows_what_is_there(tmp_path, capsys):
    miniatures.lip(tmp_path)
    run('lip', '--root', tmp_path, '--only', 'val')
    capsys.readouterr()
    assert run('--root', tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[1 : 1 + len(KNOWN)]}
    assert set(rows) == set(KNOWN) and '2 of 4 parts' in rows['lip'] and ' - ' in rows['coco']
    with pytest.raises(SystemExit):
        run('--only', 'val')


def test_the_guide_has_the_same_sources_and_licenses():
    rows = [line for line in (ROOT / 'data/README.md').read_text().splitlines() if line.startswith('| `')]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in rows]
    for data in KNOWN.values():
        found = [row for row in rows if data.source in row[2]]
        assert any(row[0].startswith(f'`{data.folder}/') and row[3] == data.license for row in found), data.name


def test_data_without_a_config_have_a_dataset(tmp_path):
    for data in KNOWN.values():
        assert data.configs or set(data.datasets) == {'train'}
        for dataset in data.datasets.values():
            assert dataset['data_root'] == data.folder and dataset['type'] in DATASETS


def test_detections_are_optional_but_named(tmp_path, capsys):
    miniatures.coco(tmp_path)
    (tmp_path / 'COCO_val2017_detections_AP_H_70_person.json').unlink()
    assert run('coco', '--root', tmp_path) == 1
    text = capsys.readouterr().out
    assert 'not needed for evaluation in ground-truth boxes' in text
    assert 'It is in COCO_val2017_detections_AP_H_70_person.json' in text
