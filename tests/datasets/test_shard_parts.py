"""Tar shards as the folders of data sets: the same samples with the same bytes, and what is said about broken ones."""

import csv
import io
import json
import tarfile

import numpy as np
import pytest
from torch.utils.data import DataLoader

from sapiens.datasets import (
    GeometryDataset,
    KeypointDataset,
    MattingDataset,
    SegmentationDataset,
    shard_parts,
    stack_collate,
)
from sapiens.datasets.checks import Findings, check_overlap
from sapiens.datasets.shard_members import MemberPath, file_size, split_path
from sapiens.datasets.shard_names import split_name
from sapiens.datasets.shard_parts import ShardParts
from sapiens.datasets.transforms import BadImage, LoadMatte
from sapiens.datasets.transforms.label_files import read_array
from sapiens.datasets.transforms.loading import read_file

from .folders import write_array, write_geometry, write_labels, write_png
from .helpers import smooth_image
from .people import person, write_people

PIPELINE = [dict(type='LoadLabels'), dict(type='Resize', size=(24, 32)), dict(type='PackDense')]
LONG = 'folder-with-a-long-name/' * 5  # has a header of its own in a tar file


def pack(root, shards, images, parts, key=''):
    """Put the files of folders into shards, three samples at most in each; returns {name in a shard: path of the image}."""
    files = sorted((root / images).iterdir())
    for number in range(0, len(files), 3):
        with tarfile.open(shards / f'{number // 3:06d}.tar', 'w') as tar:
            for path in files[number : number + 3]:
                tar.add(path, f'{key}{path.name}')
                add(tar, f'{key}{path.stem}.json', b'{}')
                for folder, part in parts.items():
                    (label,) = (root / folder).glob(f'{path.stem}.*')
                    tar.add(label, f'{key}{path.stem}.{part}{label.suffix}')
    return {f'{key}{path.name}': path for path in files}


def add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def segmentation(root):
    labels = write_labels(root, count=5)
    classes = dict(name='some', classes=[f'c{i}' for i in range(int(labels.max()) + 1)])
    folder = dict(classes=classes, pipeline=PIPELINE)
    return SegmentationDataset, folder, dict(folder, labels='seg'), 'images', dict(labels='seg')


def geometry(root):
    write_geometry(root, count=5)
    folder = dict(fields=['depth', 'normal'], pipeline=PIPELINE)
    return GeometryDataset, folder, folder, 'rgb', dict(depth='depth', normal='normal', mask='mask')


def matting(root):
    for i in range(5):
        write_png(root / f'rgb/{i}.png', smooth_image(40, 30, seed=i))
        write_png(root / f'alpha/{i}.png', np.full((30, 40), 250 + i, np.uint8))
    folder = dict(pipeline=PIPELINE)
    return MattingDataset, folder, dict(folder, alpha='matting'), 'rgb', dict(alpha='matting')


KINDS = [segmentation, geometry, matting]


@pytest.fixture
def both(request, tmp_path):
    """A data set of folders and that of shards with the same files, with weights."""
    kind, folder, shards, images, parts = request.param(tmp_path)
    (tmp_path / 'labels').mkdir(exist_ok=True)
    (tmp_path / 'tars').mkdir()
    names = pack(tmp_path, tmp_path / 'tars', images, parts, key=LONG)
    of_folder = [('image', 'weight'), *((path.relative_to(tmp_path), i / 4) for i, path in enumerate(names.values()))]
    in_shards = [('image', 'weight', 'shard'), *((name, i / 4, f'{i // 3:06d}.tar') for i, name in enumerate(names))]
    for table, rows in (('w.csv', of_folder), ('in_shards.csv', in_shards)):
        with open(tmp_path / table, 'w', newline='') as file:
            csv.writer(file).writerows(rows)
    return (
        kind(data_root=str(tmp_path), weights='w.csv', **folder),
        kind(data_root=str(tmp_path), weights='in_shards.csv', shards='tars/*.tar', **shards),
    )


@pytest.mark.parametrize('both', KINDS, indirect=True)
def test_shards_have_the_samples_of_folders(both):
    folder, shards = both
    assert len(folder) == len(shards) == 5 and folder.weights.tolist() == shards.weights.tolist() == [
        0,
        0.25,
        0.5,
        0.75,
        1,
    ]
    for index in range(5):
        mine, other = folder.load(index), shards.load(index)
        assert read_file(mine['img_path']) == read_file(other['img_path'])
        assert mine['label_files'].keys() == other['label_files'].keys()
        for kind in mine['label_files']:
            assert read_file(mine['label_files'][kind]) == read_file(other['label_files'][kind])
    # Through the pipeline, and in worker processes.
    for workers in (0, 2):
        batches = [next(iter(DataLoader(data, 5, num_workers=workers, collate_fn=stack_collate))) for data in both]
        assert (batches[0]['inputs'] == batches[1]['inputs']).all()
        for name, values in batches[0]['labels'].items():
            assert (values == batches[1]['labels'][name]).all()
    findings, others = Findings(), Findings()
    folder.check(findings, read=True)
    shards.check(others, read=True)
    assert findings.counts() == others.counts()
    check_overlap(findings, folder, shards)
    assert findings['image that the training and the held-out data share'].count == 5


def test_members_have_names_and_places(tmp_path):
    write_png(tmp_path / 'a.png', smooth_image(8, 8))
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        add(tar, 'b/0.1s.json', b'{}')
        tar.add(tmp_path / 'a.png', f'{LONG}a.png')
        add(tar, f'{LONG}a.depth.npy', b'no array')
    parts = ShardParts(str(tmp_path), 'x.tar')
    assert list(parts.parts) == ['json', 'images', 'depth']
    (path,) = parts.stems('images', None).values()
    member = split_path(str(tmp_path / path))
    assert (
        member.shard == f'{tmp_path}/x.tar' and member.name == f'{LONG}a.png' and str(member) == str(tmp_path / path)
    )
    assert read_file(str(member)) == (tmp_path / 'a.png').read_bytes() and file_size(str(member)) == member.size
    assert parts.stems('depth', ['.png']) == {}
    with pytest.raises(
        FileNotFoundError, match="no part 'seg' in the shards 'x.tar', which have 'json', 'images', 'depth'"
    ):
        parts.stems('seg', ['.png'])
    assert split_name('a/0.1s.depth.npy') == ('a/0.1s', 'depth', '.npy') and split_name('a/.x.png') is None
    for other in ('x.tar', 'x.tar/a.png', 'x.tar@1/a.png', 'x@1+2/a.png'):
        assert split_path(other) is None


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda path, data: path.unlink(), r"no shard '.*000001.tar': check shards="),
        (lambda path, data: path.write_bytes(data[: len(data) // 2]), r"the shard '.*000001.tar' is damaged: truncated"),
        (lambda path, data: path.write_bytes(data[: data.rindex(b'000004.seg.png')]),
         r"000001.tar' is damaged: truncated behind the header"),
        (lambda path, data: path.write_bytes(data.rstrip(b'\0') + bytes(-len(data.rstrip(b'\0')) % 512)),
         r"000001.tar' is damaged: truncated: it ends after \d+ bytes without the mark"),
        (lambda path, data: path.write_bytes(b'x' * len(data)), r"000001.tar' is damaged: .*at byte 0"),
        (lambda path, data: path.write_bytes(b''), r"000001.tar' is damaged: truncated"),
    ],
)  # fmt: skip
def test_a_broken_shard_is_named_at_the_start(tmp_path, change, message):
    kind, _, options, images, parts = segmentation(tmp_path)
    pack(tmp_path, tmp_path, images, parts)
    path = tmp_path / '000001.tar'
    change(path, path.read_bytes())
    with pytest.raises((ValueError, FileNotFoundError), match=message) as found:
        kind(data_root=str(tmp_path), shards='{000000..000001}.tar', **options)
    assert '\n' not in str(found.value)


def test_a_shard_that_changes_during_a_run_is_a_bad_file(tmp_path):
    kind, _, options, images, parts = segmentation(tmp_path)
    pack(tmp_path, tmp_path, images, parts)
    data = kind(data_root=str(tmp_path), shards='{000000..000001}.tar', test_mode=True, **options)
    path, content = tmp_path / '000001.tar', (tmp_path / '000001.tar').read_bytes()
    image = data.load(3)['img_path']
    for change, message in (
        (lambda: path.write_bytes(content[:700]), f'the shard {path} is truncated: it ends before byte'),
        (
            lambda: path.write_bytes((tmp_path / '000000.tar').read_bytes()),
            f'the shard {path} has been changed: 000003.',
        ),
        (path.unlink, f'the shard {path} is missing'),
    ):
        change()
        with pytest.raises(BadImage, match=message):
            read_file(image)
        with pytest.raises(ValueError, match=message):
            data[3]
    assert file_size(image) is None
    findings = Findings()
    data.check(findings)
    assert findings['missing image'].count == 2 and findings['missing or empty sem_seg file'].count == 2


def test_shards_that_do_not_fit_are_refused(tmp_path):
    kind, _, options, images, parts = segmentation(tmp_path)
    pack(tmp_path, tmp_path, images, parts)

    def build(shards='000000.tar', **changes):
        return kind(data_root=str(tmp_path), **dict(options, shards=shards, **changes))

    for changes, message in (
        (dict(label_ending='.seg'), "label_ending='.seg' is of folders"),
        (dict(sequences='*'), r"sequences='\*' is of folders"),
        (dict(shards='x*.tar'), "no file matches shards='x"),
        (dict(shards='people.zip'), "'people.zip' does not end in .tar"),
        (dict(shards=[]), r'shards=\[\] names no shard'),
        (dict(shards='labels/none.tar'), r"no shard '.*labels/none.tar'"),
        (dict(labels='depth'), "no part 'depth' in the shards '000000.tar', which have 'images', 'json', 'seg'"),
        (dict(ann_file='x.json'), "shards='000000.tar' has no effect with ann_file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            build(**changes)
    with pytest.raises(FileNotFoundError, match="no part 'mask' or 'masks' in the shards"):
        GeometryDataset(str(tmp_path), ['depth'], shards='000000.tar')
    # Labels of another format, and an image without a label.
    with tarfile.open(tmp_path / 'two.tar', 'w') as tar:
        for name in ('a.png', 'a.seg.npy', 'b.png', 'b.seg.png'):
            add(tar, name, b'')
    with pytest.raises(ValueError, match=r"(?s)1 have no file .*There is '.*a.seg.npy', of another format"):
        build('two.tar')
    assert len(build('two.tar', partial=True)) == 1
    with tarfile.open(tmp_path / 'two.tar', 'a') as tar:
        add(tar, 'b.jpg', b'')
    with pytest.raises(ValueError, match=r"'two.tar' has 'b.png' and 'b.jpg', which are the same part of one sample"):
        build('two.tar')


def test_weights_of_equal_names_in_several_shards(tmp_path):
    kind, _, options, *_ = segmentation(tmp_path)
    for number in range(2):
        with tarfile.open(tmp_path / f'{number}.tar', 'w') as tar:
            tar.add(tmp_path / f'images/{number:06d}.jpg', 'a.jpg')
            tar.add(tmp_path / f'labels/{number:06d}.png', 'a.seg.png')
    options = dict(options, data_root=str(tmp_path), shards='?.tar', weights='w.csv')
    (tmp_path / 'w.csv').write_text('image,weight,shard\na.jpg,0.5,1.tar\na.jpg,0.25,0.tar\n')
    assert kind(**options).weights.tolist() == [0.25, 0.5]
    (tmp_path / 'w.csv').write_text('image,weight,shard\na.jpg,0.5,1.tar\na.jpg,0.25,1.tar\n')
    with pytest.raises(ValueError, match="two weights of '1.tar/a.jpg'"):
        kind(**options)
    (tmp_path / 'w.csv').write_text('image,weight,shard\na.jpg,0.5,1.tar\n')
    with pytest.raises(ValueError, match="no weight of 1 of 2 images, such as '0.tar/a.jpg'"):
        kind(**options)
    (tmp_path / 'w.csv').write_text('image,weight\na.jpg,0.5\n')
    with pytest.raises(ValueError, match="no column 'shard', and several shards have an image 'a.jpg'"):
        kind(**options)


def test_people_of_images_in_shards(tmp_path):
    write_people(tmp_path, [person(0, score=0.5), person(1, image=2, score=1)], images=2)
    pack(tmp_path, tmp_path, 'img', {})
    document = json.loads((tmp_path / 'people.json').read_text())
    places = list(ShardParts(str(tmp_path), '000000.tar').stems('images', None).values())
    for image, place in zip(document['images'], places, strict=True):
        image['file_name'] = place
    (tmp_path / 'shards.json').write_text(json.dumps(document))
    options = dict(skeleton='coco17', data_root=str(tmp_path), weight='score')
    folder, shards = (
        KeypointDataset(ann_file, img_prefix=prefix, **options)
        for ann_file, prefix in (('people.json', 'img'), ('shards.json', ''))
    )
    for mine, other in zip(map(folder.load, range(2)), map(shards.load, range(2)), strict=True):
        assert read_file(mine.pop('img_path')) == read_file(other.pop('img_path'))
        assert str(mine) == str(other)
    assert folder.weights.tolist() == shards.weights.tolist()
    shard = tmp_path / '000000.tar'
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(ValueError, match=rf"the shard '{shard}' is truncated: it has 700 bytes"):
        KeypointDataset('shards.json', **options)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=rf"no shard '{shard}'"):
        KeypointDataset('shards.json', **options)


def test_mattes_of_images_in_shards(tmp_path, monkeypatch):
    matting(tmp_path)
    places = pack(tmp_path, tmp_path, 'rgb', dict(alpha='matting'), key=LONG)
    # As programs that sort the members write them: the matte precedes its image.
    with tarfile.open(tmp_path / 'sorted.tar', 'w') as tar:
        for i in range(3):
            tar.add(tmp_path / f'alpha/{i}.png', f'{i}.matting.png')
            tar.add(tmp_path / f'rgb/{i}.png', f'{i}.png')
        tar.add(tmp_path / 'rgb/3.png', '3.png')
    load, read = LoadMatte(mattes='matting'), {}
    for path in ShardParts(str(tmp_path), '*.tar').stems('images', None).values():
        read[path] = LoadMatte(mattes='matting', optional=True)(dict(img_path=str(tmp_path / path))).get('gt_alpha')
    assert len(read) == len(places) + 4
    for path, alpha in read.items():
        name = split_path(path).name.rpartition('/')[2]
        if path.startswith('sorted.tar') and name == '3.png':
            assert alpha is None
            with pytest.raises(
                BadImage, match=r"no alpha of .*/3.png: its shard has no part 'matting.png' of this sample"
            ):
                load(dict(img_path=str(tmp_path / path)))
        else:
            assert (alpha == LoadMatte()(dict(img_path=str(tmp_path / 'rgb' / name)))['gt_alpha']).all()
    image = str(tmp_path / next(path for path in read if path.startswith('000000.tar')))
    with monkeypatch.context() as patch:  # behind its image, a matte is found without the headers of all members
        patch.setattr(shard_parts, '_members_of', None)
        assert 'gt_alpha' in load(dict(img_path=image))
    (tmp_path / '000000.tar').write_bytes((tmp_path / '000000.tar').read_bytes()[: split_path(image).size + 700])
    with pytest.raises(BadImage, match=f'the shard {tmp_path}/000000.tar is damaged: '):
        load(dict(img_path=image))
    (tmp_path / '000000.tar').unlink()
    with pytest.raises(BadImage, match=f'the shard {tmp_path}/000000.tar is missing'):
        load(dict(img_path=image))


def test_an_array_that_is_shorter_than_its_header_is_refused(tmp_path):
    array = np.zeros((4, 5), np.float32)
    write_array(tmp_path / 'a.npy', array)
    content = (tmp_path / 'a.npy').read_bytes()
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        add(tar, 'a.depth.npy', content)
        add(tar, 'b.depth.npy', content.replace(b'(4, 5)', b'(4, 9)'))
    good, bad = (str(tmp_path / path) for path in ShardParts(str(tmp_path), 'x.tar').stems('depth', ['.npy']).values())
    assert (read_array(good, 'depth') == array).all() and read_array(good, 'depth').dtype == np.float32
    with pytest.raises(BadImage, match=r'an array of shape \(4, 9\), float32, in \d+ bytes'):
        read_array(bad, 'depth')
    assert str(MemberPath('a.tar', 0, 5, 'b')) == 'a.tar@0+5/b'
