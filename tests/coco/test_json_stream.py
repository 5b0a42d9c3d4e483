import json
import tracemalloc

import pytest

from sapiens.coco.json_stream import BrokenJson, NotAnObject, stream_items

CONTENT = {
    'info': {'text': 'a "quoted" ]}, ü', 'images': [1, 2]},
    'annotations': [{'id': 1, 'x': [1.5, -2e3, None, True]}, 12345, 'text', [], {}, 67],
    'unused': [[{'a': 1}] * 50],
    'images': [{'id': i, 'name': f'{i}.jpg'} for i in range(7)],
    'number': 12,
}


@pytest.mark.parametrize('indent', [None, 3])
@pytest.mark.parametrize('chunk', [1, 2, 7, 64, 1 << 20])
def test_items_in_the_order_of_the_file(tmp_path, chunk, indent):
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(CONTENT, indent=indent, ensure_ascii=False), encoding='utf-8')
    found = list(stream_items(str(file), ('images', 'annotations'), chunk))
    expected = [(key, item) for key in ('annotations', 'images') for item in CONTENT[key]]
    assert found == expected


def test_empty_lists_and_a_byte_order_mark(tmp_path):
    file = tmp_path / 'a.json'
    file.write_text('{"images": [ ], "annotations":[]}', encoding='utf-8-sig')
    assert list(stream_items(str(file), ('images', 'annotations'))) == []


@pytest.mark.parametrize('cut', [1, 30, 100, 200, -1])
def test_truncated(tmp_path, cut):
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(CONTENT)[:cut])
    for chunk in (5, 1000):
        with pytest.raises(BrokenJson, match=r': character \d+'):
            list(stream_items(str(file), ('annotations',), chunk))


@pytest.mark.parametrize(
    'text, kind, message',
    [
        ('', BrokenJson, 'Expecting value: character 0'),
        ('hello', BrokenJson, 'Expecting value'),
        ('{"images": [1 2]}', BrokenJson, "Expecting ',': character 14"),
        ('{"images": [1, 2, "abc', BrokenJson, 'Unterminated string starting at: character 18'),
        ('[]', NotAnObject, 'a list'),
        ('[{"b": 1, "c": 2}]', NotAnObject, "a list of objects with 'b', 'c'"),
        ('3', NotAnObject, 'a int'),
        ('{}', NotAnObject, 'an object with nothing in it, without a list of images'),
        ('{"images": {}}', NotAnObject, "an object with 'images', without a list of images"),
    ],
)
def test_other_files(tmp_path, text, kind, message):
    (tmp_path / 'a.json').write_text(text)
    for chunk in (4, 1000):
        with pytest.raises(kind, match=message):
            list(stream_items(str(tmp_path / 'a.json'), ('images',), chunk))


def test_memory_is_that_of_a_chunk(tmp_path):
    file = tmp_path / 'a.json'
    file.write_text(json.dumps({'images': [{'id': i, 'points': list(range(100))} for i in range(3000)]}))
    tracemalloc.start()
    count = sum(1 for _ in stream_items(str(file), ('images',), 1 << 14))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 3000 and file.stat().st_size > 1_000_000 and peak < 200_000
