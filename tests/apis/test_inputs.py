import http.server
import threading

import numpy as np
import pytest
from PIL import Image

from sapiens.apis.inputs import find_inputs, is_inside, is_video, read_pixels
from sapiens.datasets.transforms import BadImage
from tests.apis.tiny import picture


@pytest.fixture
def tree(tmp_path):
    for name in ('b/2.jpg', 'b/10.PNG', 'a.jpg', 'a.png', 'notes.txt', '.hidden/x.jpg', 'b/.y.jpg'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
    return tmp_path


def names(items):
    return [item.name for item in items]


def test_a_folder_is_searched_at_any_depth(tree):
    items = find_inputs(tree)
    assert names(items) == ['a.jpg', 'a.png', 'b/10', 'b/2', 'gone']  # those of one name keep their suffix
    assert [item.source for item in items][2:] == [f'{tree}/b/10.PNG', f'{tree}/b/2.jpg', f'{tree}/gone.jpg']
    assert names(find_inputs(f'{tree}/b')) == ['10', '2']


def test_files_patterns_lists_and_several_of_them(tree):
    assert names(find_inputs(tree / 'a.jpg')) == ['a']
    assert names(find_inputs(f'{tree}/*.jpg')) == ['a', 'gone']
    assert names(find_inputs(f'{tree}/**/*.jpg')) == ['a', 'b/2', 'gone']
    (tree / 'list.txt').write_text('b/2.jpg\n\na.jpg\nhttp://host/x/c%20d.jpg?size=3\n')
    items = find_inputs(tree / 'list.txt')
    assert names(items) == ['b/2', 'a', 'c d'] and items[2].source.startswith('http://host')
    several = find_inputs([tree / 'a.jpg', f'{tree}/b', tree / 'a.jpg'])
    assert names(several) == ['a', '10', '2']
    (tree / 'c').mkdir()
    (tree / 'c' / '2.jpg').touch()
    assert names(find_inputs([f'{tree}/b', f'{tree}/c']))[-2:] == ['2', '2_2']


def test_no_two_inputs_have_a_name_in_common(tree):
    for name in ('b/dance.mp4', 'c/dance.mp4', 'c/dance_2.mp4', 'c/a.mp4'):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    videos = [tree / 'b/dance.mp4', tree / 'c/dance.mp4', tree / 'c/dance_2.mp4']
    assert names(find_inputs(videos)) == ['dance', 'dance_3', 'dance_2']
    assert names(find_inputs(f'{tree}/*/dance*')) == ['b/dance', 'c/dance', 'c/dance_2']
    # The JSON of a video and that of an image are two files.
    assert names(find_inputs([tree / 'a.jpg', tree / 'c/a.mp4'])) == ['a.jpg', 'a.mp4']
    assert names(find_inputs(['0', 'http://host/dance.mp4', tree / 'b/dance.mp4'])) == ['camera0', 'dance', 'dance_2']
    assert is_video('0') and is_video('x/A.MP4') and not is_video('x.jpg') and not is_video('folder')


def test_nothing_to_work_on_is_an_error(tree):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        find_inputs(tree / 'nowhere')
    (tree / 'empty').mkdir()
    with pytest.raises(ValueError, match='no images'):
        find_inputs(tree / 'empty')
    with pytest.raises(ValueError, match='no file matches'):
        find_inputs(f'{tree}/*.webp')
    (tree / 'empty.txt').touch()
    with pytest.raises(ValueError, match='is empty'):
        find_inputs(tree / 'empty.txt')


def test_an_image_from_a_server(tmp_path):
    Image.fromarray(picture()).save(tmp_path / 'a.png')

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f'http://127.0.0.1:{server.server_port}'
        np.testing.assert_array_equal(read_pixels(f'{address}/a.png'), picture())
        with pytest.raises(BadImage, match='404'):
            read_pixels(f'{address}/b.png')
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(BadImage, match='URLError|refused'):
        read_pixels(f'{address}/a.png')


def test_photographs_come_upright(tmp_path):
    image = Image.fromarray(picture((40, 60)))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / 'turned.png', exif=exif)
    assert read_pixels(tmp_path / 'turned.png').shape == (60, 40, 3)
    with pytest.raises(BadImage, match='limit'):
        read_pixels(tmp_path / 'turned.png', max_megapixels=0.001)


def test_contents_of_a_folder(tmp_path):
    assert is_inside(tmp_path / 'a' / 'b', [tmp_path]) and is_inside(tmp_path, [tmp_path])
    assert not is_inside(tmp_path.parent, [tmp_path]) and not is_inside(tmp_path.with_name('x'), [tmp_path])
