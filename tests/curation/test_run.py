"""A collection from inputs to shards: verdicts, what is not done twice, and what is recomputed from the table."""

import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sapiens.bulk import LocalEngine, OutputFolder
from sapiens.curation import Settings
from sapiens.curation.collection import Collection
from sapiens.curation.filters import build_filters
from sapiens.curation.filters import people as people_module
from sapiens.curation.filters.image_text import ImageText
from sapiens.curation.photo import Photo
from sapiens.curation.report import write_report
from sapiens.curation.run import Curation
from sapiens.curation.sources import expand_sources, write_new_lists
from sapiens.curation.statistics import collect, describe
from sapiens.datasets.tar_shards import TarShards

from .images import Detector, drawing, encoded, textured

FILTERS = dict(
    size=dict(type='MinSize', side=300),
    natural=dict(type='Natural', threshold=0.25),
    duplicates=dict(type='Duplicates', distance=6),
    people=dict(type='People', detector='stub', score=0.4, side=300, batch_size=2),
)


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    monkeypatch.setattr(people_module, 'build_detector', lambda text, device, threshold: Detector())
    Detector.calls = 0


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Nine images, of which reason they are removed is their name."""
    folder = tmp_path_factory.mktemp('images')
    for number in range(3):
        (folder / f'kept{number}.jpg').write_bytes(encoded(textured(number)))
    dark = (textured(8) * 0.5).astype(np.uint8)
    files = {
        'duplicates.png': encoded(textured(0, 408, 340), 'PNG'),
        'x_duplicates.jpg': encoded(textured(1)),
        'natural.png': encoded(drawing(0), 'PNG'),
        'size.jpg': encoded(textured(5, 200, 200)),
        'people.jpg': encoded(dark),
        'unreadable.jpg': encoded(textured(6))[:3000],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def curate(folder, sources=(), filters=FILTERS, table=None, unit_size=4):
    with OutputFolder(folder) as out:
        if sources:
            write_new_lists(out.path, expand_sources([str(one) for one in sources]), unit_size)
        curation = Curation(Settings(filters, unit_size), out, LocalEngine(0))
        curation.judge(table) if table else curation.measure()
        shards = curation.write_shards()
        assert curation.failed == 0
    return {row['path'].rpartition('/')[2]: row for row in pq.read_table(curation.table).to_pylist()}, shards


def contents(shards):
    return {path.name: path.read_bytes() for path in shards}


def test_verdicts_shards_and_report(images, tmp_path):
    rows, shards = curate(tmp_path, [images])
    assert len(rows) == 9
    for name, row in rows.items():
        expected = '' if name.startswith('kept') else name.split('.')[0].split('_')[-1]
        assert (row['reason'], row['kept']) == (expected, expected == ''), name
    assert rows['duplicates.png']['duplicates_of'] == rows['kept0.jpg']['key']
    assert rows['x_duplicates.jpg']['duplicates_content'] == rows['kept1.jpg']['duplicates_content']
    assert (
        rows['people.jpg']['people_best'] == pytest.approx(0.25, abs=0.1)
        and len(rows['people.jpg']['people_boxes']) == 4
    )
    assert rows['size.jpg']['people_best'] is None and 'truncated' in rows['unreadable.jpg']['error'].lower()
    assert Detector.calls == 4  # what the cheap filters left
    members = {}
    for path in shards:
        with tarfile.open(path) as tar:
            members |= {name: tar.extractfile(name).read() for name in tar.getnames()}
    key = rows['kept2.jpg']['key']
    assert members[f'{key}.jpg'] == (images / 'kept2.jpg').read_bytes() and len(members) == 6
    assert json.loads(members[f'{key}.json'])['people_scores'] == rows['kept2.jpg']['people_scores']
    data = TarShards(str(tmp_path / 'shards' / 'index.safetensors'))
    assert len(data) == 3 and all(len(Photo(data.load(index)['img_bytes']).pixels) == 400 for index in range(3))

    filters = Settings(FILTERS).build()
    found = collect(tmp_path / 'table.parquet', filters, 2)
    assert (found.inputs, found.kept, found.people) == (9, 3, {1: 3})
    assert found.removed == dict(unreadable=1, size=1, natural=1, duplicates=2, people=1)
    assert found.histograms['people'].sum(1).tolist() == [3, 1] and found.histograms['size'][1].sum() == 1
    assert [row['key'] for _, _, row in found.examples['natural', 'removed']] == [rows['natural.png']['key']]
    assert len(found.examples['natural', 'kept']) == 2 and len(found.examples['', 'kept']) == 2
    lines = describe(found, filters)
    assert lines[0].split() == ['9', 'inputs'] and lines[4].split() == ['-2', 'duplicates', '4', 'left']
    assert lines[-1].endswith('3  kept, 0 of them with several people')
    # Duplicates are shown beside what they are duplicates of.
    of = [row['of'] for _, _, row in found.examples['duplicates', 'removed']]
    assert set(of) == set(found.originals) == {rows['kept0.jpg']['key'], rows['kept1.jpg']['key']}
    assert found.originals[rows['kept0.jpg']['key']]['path'] == str(images / 'kept0.jpg')
    text = write_report(tmp_path / 'report.html', found, filters).read_text()
    assert sum(map(len, found.examples.values())) == 13 and text.count('data:image/jpeg;base64,') == 13 + 2
    duplicates = text[text.index('duplicates: Duplicates') : text.index('people: People')]
    names = [line.partition('<br>')[0] for line in duplicates.split('<figcaption>')[1:]]
    assert [name.split()[-1] for name in names[1::2]] == [
        found.originals[key]['path'].rpartition('/')[2] for key in of
    ]
    assert all(name.startswith('near to ') for name in names[1::2]) and names[0].startswith('<b>')
    assert 'natural: Natural, threshold 0.25' in text and '<td>-2<td>4<td' in text


def test_nothing_is_done_twice_and_new_inputs_are_added(images, tmp_path):
    names = sorted(images.iterdir())
    rows, shards = curate(tmp_path, [names[0], names[4], names[5], names[8]])
    before, calls = contents(shards), Detector.calls
    assert calls == 3 and set(rows) == {'duplicates.png', 'natural.png', 'people.jpg', 'x_duplicates.jpg'}
    assert curate(tmp_path)[0] == rows and Detector.calls == calls
    more, shards = curate(tmp_path, [images])
    assert len(more) == 9 and Detector.calls == calls + 1  # kept2.jpg
    # What was kept stays, though larger copies came later.
    assert more['duplicates.png']['kept'] and more['kept0.jpg']['reason'] == 'duplicates'
    assert {name: data for name, data in contents(shards).items() if name in before} == before
    assert {name: more[name] for name in rows} == rows


def test_the_order_of_units_does_not_matter(images, tmp_path):
    one, first = curate(tmp_path / 'a', [images], unit_size=1)
    assert len(first) == 3
    curate(tmp_path / 'b', [images], unit_size=1)
    for number in (1, 3):
        (tmp_path / 'b' / 'records' / 'scores' / f'part-00000{number}.json').unlink()
    again, second = curate(tmp_path / 'b')
    assert again == one and contents(first) == contents(second)


def test_thresholds_change_without_the_images(images, tmp_path, monkeypatch):
    rows, shards = curate(tmp_path, [images])
    before = contents(shards)
    monkeypatch.setattr('sapiens.curation.scoring.Photo', None)
    loose = dict(FILTERS, people=dict(FILTERS['people'], score=0.2), duplicates=None)
    more, shards = curate(tmp_path / 'loose', filters=loose, table=tmp_path / 'table.parquet')
    assert more['people.jpg']['kept'] and not more['natural.png']['kept']
    assert more['duplicates.png']['reason'] == more['x_duplicates.jpg']['reason'] == 'unscored'
    assert sum(one['kept'] for one in more.values()) == 4
    same, shards = curate(tmp_path / 'same', table=tmp_path / 'table.parquet')
    assert same == rows and contents(shards) == before
    strict = dict(FILTERS, people=dict(FILTERS['people'], score=1))
    none, shards = curate(tmp_path, filters=strict, table=tmp_path / 'table.parquet')
    assert not any(one['kept'] for one in none.values()) and shards == []
    assert not list((tmp_path / 'shards').glob('*'))
    with pytest.raises(ValueError, match="no column 'extra_score': the filter 'extra' was not measured"):
        curate(tmp_path, filters=dict(extra=dict(type='Natural')), table=tmp_path / 'table.parquet')


def test_scores_of_models_are_kept_where_thresholds_change(images, tmp_path):
    curate(tmp_path, [images])
    assert Detector.calls == 4
    rows, _ = curate(tmp_path, filters=dict(FILTERS, duplicates=None, people=dict(FILTERS['people'], score=0.2)))
    assert Detector.calls == 6  # the two duplicates
    assert rows['people.jpg']['kept'] and rows['duplicates.png']['kept']
    curate(tmp_path, filters=dict(FILTERS, people=dict(FILTERS['people'], detector='other')))
    assert Detector.calls == 10


def test_similar_images_are_found_after_all_other_filters(images, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    image = textured(0)
    for name, pixels in dict(a=image, b=image[:, ::-1], c=image[20:, 25:], d=textured(1), e=drawing(0)).items():
        (folder / f'{name}.png').write_bytes(encoded(pixels, 'PNG'))
    similar = dict(type='Similar', function='tests.curation.images:embeddings', cosine=0.9)
    filters = dict(FILTERS, similar=similar)
    del filters['people']
    rows, shards = curate(tmp_path / 'out', [folder], filters, unit_size=2)
    assert [name for name, row in rows.items() if row['kept']] == ['a.png', 'd.png']
    assert rows['b.png']['reason'] == rows['c.png']['reason'] == 'similar' and rows['e.png']['reason'] == 'natural'
    assert rows['b.png']['similar_of'] == rows['c.png']['similar_of'] == rows['a.png']['key']
    assert rows['b.png']['similar_cosine'] == pytest.approx(1, abs=1e-2) and 0.9 < rows['c.png']['similar_cosine'] < 1
    assert rows['a.png']['similar_of'] is None and rows['e.png']['similar_embedding'] is None
    with tarfile.open(shards[0]) as tar:
        assert 'similar_embedding' not in json.loads(tar.extractfile(f'{rows["a.png"]["key"]}.json').read())
    write_report(tmp_path / 'report.html', collect(tmp_path / 'out' / 'table.parquet', build_filters(filters), 2), [])
    strict = dict(filters, similar=dict(similar, cosine=1))
    again, _ = curate(tmp_path / 'strict', filters=strict, table=tmp_path / 'out' / 'table.parquet')
    assert sum(row['kept'] for row in again.values()) == 4


def test_scores_of_an_image_text_model_are_in_the_table(images, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageText, 'setup', lambda self, device='auto': None)

    def measure(self, photos):  # the score is known: the mean of the red channel
        return [dict(score=float(one.pixels[..., 0].mean() / 255)) for one in photos]

    monkeypatch.setattr(ImageText, 'measure', measure)
    text = dict(type='ImageText', model='stub', wanted=['a photo'], unwanted=['a drawing'], threshold=0.4)
    rows, _ = curate(tmp_path, [images], dict(size=FILTERS['size'], text=text))
    dark = rows['people.jpg']
    assert dark['reason'] == 'text' and dark['text_score'] == pytest.approx(0.25, abs=0.1)
    for name, row in rows.items():
        if row['text_score'] is not None:
            assert row['kept'] == (row['text_score'] >= 0.4), name
    assert rows['size.jpg']['text_score'] is None and rows['kept0.jpg']['kept']


def test_files_that_are_gone_are_told(images, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    for name in ('kept0.jpg', 'kept1.jpg'):
        (folder / name).write_bytes((images / name).read_bytes())
    filters = dict(size=FILTERS['size'])
    with OutputFolder(tmp_path / 'out') as out:
        write_new_lists(out.path, expand_sources([str(folder)]), 4)
        curation = Curation(Settings(filters), out, LocalEngine(0))
        curation.measure()
        os.unlink(folder / 'kept0.jpg')
        [shard] = curation.write_shards()
    assert curation.failed == 1
    assert (tmp_path / 'out' / 'missing' / 'part-000000.txt').read_text().startswith(f'{folder}/kept0.jpg\t')
    with tarfile.open(shard) as tar:
        assert len(tar.getnames()) == 2


def test_of_duplicates_the_earlier_then_the_larger_then_the_heavier_is_kept():
    def part(unit, **columns):
        count = len(columns['bytes'])
        hashes = pa.array([7] * count, pa.uint64())
        return pa.table(dict(unit=[unit] * count, error=[''] * count, duplicates_hash=hashes, **columns))

    filters = [build_filters(dict(duplicates=dict(type='Duplicates')))[0]]
    one = part('a', generation=[1, 1], width=[9, 9], height=[9, 9], bytes=[5, 6])
    two = part('b', generation=[1, 1], width=[10, 10], height=[9, 9], bytes=[2, 2])
    found = Collection.compare([one, two], filters)
    assert [found.columns(unit)[0].to_pylist() for unit in 'ab'] == [['b-000000'] * 2, [None, 'b-000000']]
    found = Collection.compare([one], filters)
    assert found.columns('a')[0].to_pylist() == ['a-000001', None] and found.columns('a')[1].to_pylist() == [0, None]
    three = part('c', generation=[0], width=[1], height=[1], bytes=[1])
    assert Collection.compare([one, three], filters).columns('a')[0].to_pylist() == ['c-000000'] * 2
    broken = one.set_column(1, 'error', pa.array(['', 'truncated']))
    assert Collection.compare([broken], filters).columns('a')[0].to_pylist() == [None, None]
