import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from sapiens.datasets import Draw, ImageFolder, ImageList, ResumableSampler, stack_collate
from sapiens.registry import DATASETS

from .helpers import encode, smooth_image

PIPELINE = [dict(type='LoadRandomResizedCrop', size=16), dict(type='PackImage')]


@pytest.fixture
def folder(tmp_path):
    """Twelve images at several depths, and files to skip."""
    for i in range(12):
        where = tmp_path / ('größe' if i % 2 else 'a/b')
        where.mkdir(parents=True, exist_ok=True)
        (where / f'{i:02d}.{"JPG" if i % 3 else "png"}').write_bytes(
            encode(smooth_image(40, 30, i), 'JPEG' if i % 3 else 'PNG')
        )
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'a/._00.png').write_bytes(b'left by another system')
    return tmp_path


def test_folder_is_scanned_in_order(folder):
    (folder / 'a/loop').symlink_to(folder)
    dataset = DATASETS.build(dict(type='ImageFolder', data_root=str(folder), pipeline=PIPELINE))
    names = [dataset.path(i)[len(str(folder)) + 1 :] for i in range(len(dataset))]
    expected = sorted(str(p.relative_to(folder)) for p in folder.rglob('[0-9]*.*'))
    assert names == expected and len(names) == 12
    assert dataset.metainfo['dataset_name'] == 'ImageFolder'
    assert dataset[0]['data_samples'].sample_idx == 0


def test_files_of_a_folder_that_are_left_out_are_named_in_one_line(folder, monkeypatch):
    lines = []
    monkeypatch.setattr('sapiens.datasets.image_folder.print_log', lambda text, logger: lines.append(text))
    (folder / 'a/b/phone.heic').write_bytes(b'\0\0\0\x18ftypheic')
    for name in ('12.HEIC', '13.jpe', '14.jfif', '15.avif'):
        (folder / 'a' / name).write_bytes(encode(smooth_image(40, 30)))
    dataset = ImageFolder(str(folder), pipeline=PIPELINE)
    assert (
        len(dataset) == 16 and lines[0].startswith(f'{folder}: 2 files left out: 1 .heic, 1 .txt') and len(lines) == 1
    )
    assert {'12.HEIC', '13.jpe'} <= {dataset.path(i).split('/')[-1] for i in range(16)}
    assert all(dataset[Draw(i, 1)]['bad'] == [] for i in range(16))
    with pytest.raises(ValueError, match=r'no images in .*1 file left out: 1 \.txt$'):
        (folder / 'c').mkdir()
        (folder / 'c/x.txt').touch()
        ImageFolder(str(folder / 'c'))


def test_folder_errors(tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', '/somewhere')
    with pytest.raises(ValueError, match=r'no images in .*DATA_ROOT is /somewhere.*\.jpg, \.jpeg'):
        ImageFolder(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='none.*data/README.md'):
        ImageFolder(str(tmp_path / 'none'))


def test_lists_name_the_same_files(folder):
    paths = sorted(str(p.relative_to(folder)) for p in folder.rglob('[0-9]*.*'))
    (folder / 'list.txt').write_text('\n'.join(paths[:5]) + '\n\n' + '\r\n'.join(paths[5:]), encoding='utf-8')
    pq.write_table(pa.table(dict(file=paths, id=list(range(12)))), folder / 'list.parquet', row_group_size=5)
    text = ImageList(str(folder / 'list.txt'), data_root=str(folder), pipeline=PIPELINE)
    parquet = ImageList(str(folder / 'list.parquet'), data_root=str(folder), column='file', pipeline=PIPELINE)
    tree = ImageFolder(str(folder), pipeline=PIPELINE)
    for i in range(12):
        draw = Draw(i, 5)
        assert text.path(i) == parquet.path(i) == tree.path(i)
        assert torch.equal(text[draw]['inputs'], tree[draw]['inputs'])


def test_list_errors(folder):
    (folder / 'empty.txt').write_text('\n')
    pq.write_table(pa.table(dict(id=[1])), folder / 'list.parquet')
    with pytest.raises(ValueError, match='is empty'):
        ImageList(str(folder / 'empty.txt'))
    with pytest.raises(ValueError, match=r"no column 'path' of strings; its columns: id \(int64\)"):
        ImageList(str(folder / 'list.parquet'))
    with pytest.raises(FileNotFoundError, match=r'none\.txt'):
        ImageList(str(folder / 'none.txt'))


def epoch(dataset, workers, context=None):
    loader = DataLoader(
        dataset,
        batch_size=5,
        sampler=ResumableSampler(dataset, seed=1),
        num_workers=workers,
        collate_fn=stack_collate,
        multiprocessing_context=context,
    )
    batches = list(loader)
    return (
        torch.cat([batch['inputs'] for batch in batches]),
        [sample.metainfo for batch in batches for sample in batch['data_samples']],
        [entry for batch in batches for entry in batch['loader'].bad],
        [batch['loader'].samples for batch in batches],
        torch.cat([batch['seeds'] for batch in batches]).tolist(),
    )


def test_samples_do_not_depend_on_the_workers(folder):
    (folder / 'a/b/00.png').write_bytes(b'damaged')
    dataset = ImageFolder(str(folder), pipeline=PIPELINE)
    expected = epoch(dataset, 0)
    assert expected[0].shape == (12, 3, 16, 16) and expected[3] == [5, 5, 2]
    assert expected[4] == [draw.seed for draw in ResumableSampler(dataset, seed=1)]
    [(path, reason)] = expected[2]
    assert path.endswith('a/b/00.png') and 'not an image' in reason
    for workers, context in [(1, 'fork'), (2, 'fork'), (2, 'spawn')]:
        found = epoch(dataset, workers, context)
        assert torch.equal(found[0], expected[0])
        assert found[1:] == expected[1:]


def test_bad_files_are_replaced_from_the_samples_own_generator(folder):
    (folder / 'list.txt').write_text('missing.jpg\n' + 'a/b/00.png\n' * 3)
    dataset = ImageList(str(folder / 'list.txt'), data_root=str(folder), pipeline=PIPELINE)
    samples = [dataset[Draw(0, seed)] for seed in range(20)]
    assert all(sample['bad'][0][0] == f'{folder}/missing.jpg' for sample in samples)
    assert {sample['data_samples'].sample_idx for sample in samples} == {1, 2, 3}
    again = dataset[Draw(0, 7)]
    assert again['bad'] == samples[7]['bad'] and torch.equal(again['inputs'], samples[7]['inputs'])
    assert dataset[Draw(1, 0)]['bad'] == []


def test_only_bad_files_end_in_an_error(folder):
    (folder / 'list.txt').write_text('x.jpg\ny.jpg\n')
    dataset = ImageList(str(folder / 'list.txt'), data_root=str(folder), pipeline=PIPELINE)
    with pytest.raises(ValueError, match=r'10 files in a row(.|\n)*x\.jpg: FileNotFoundError'):
        dataset[Draw(0, 1)]


def test_urls_in_a_list(folder):
    import fsspec

    with fsspec.open('memory://list-test/a.png', 'wb') as file:
        file.write(encode(smooth_image(), 'PNG'))
    (folder / 'list.txt').write_text('memory://list-test/a.png\n')
    dataset = ImageList(str(folder / 'list.txt'), data_root='/ignored', pipeline=PIPELINE)
    assert dataset[0]['data_samples'].img_path == 'memory://list-test/a.png'


def test_plain_ints_do_not_seed(folder):
    dataset = ImageFolder(str(folder), pipeline=PIPELINE)
    np.random.seed(0)
    assert dataset[3]['data_samples'].crop != dataset[3]['data_samples'].crop


def test_collate_names_different_shapes():
    with pytest.raises(ValueError, match=r'\(3, 2, 2\).*\(3, 2, 3\)'):
        stack_collate([dict(inputs=torch.zeros(3, 2, 2)), dict(inputs=torch.zeros(3, 2, 3))])


def test_a_part_of_a_folder_is_a_range_of_its_names(folder):
    whole = ImageFolder(str(folder), pipeline=PIPELINE)
    paths = [whole.path(i) for i in range(12)]
    parts = [ImageFolder(str(folder), part=part) for part in ((0, 0.25), (0.25, 1))]
    assert [part.path(i) for part in parts for i in range(len(part))] == paths and len(parts[0]) == 3
    with pytest.raises(ValueError, match=r'part=\(0, 0.01\) of the 12 samples'):
        ImageFolder(str(folder), part=(0, 0.01))
    with pytest.raises(ValueError, match='begin < end'):
        ImageFolder(str(folder), part=(0.5, 0.5))
