import http.server
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from sapiens.apis.inputs import find_inputs, is_inside, is_video, read_pixels
from sapiens.apis.video.video_file import open_frames
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
    assert (
        is_video('0')
        and is_video('x/A.MP4')
        and is_video('00001.MTS')
        and is_video('a.3gp')
        and not is_video('x.jpg')
        and not is_video('folder')
    )


def test_a_file_or_folder_wins_over_the_camera_of_its_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save(tmp_path / '7', format='png')
    (tmp_path / '2024').mkdir()
    shutil.copy('7', '2024/a.jpg')
    for source, expected in (('2024', '2024/a.jpg'), ('7', './7'), ('[0-9]', './7'), ('3', '3')):
        (item,) = find_inputs(source)
        assert item.source == expected and is_video(item.source) == (source == '3')
    (tmp_path / 'list.txt').write_text('7\n2024/a.jpg\n')
    items = find_inputs('list.txt')
    assert names(items) == ['7', '2024/a'] and not any(is_video(item.source) for item in items)
    np.testing.assert_array_equal(read_pixels(items[0].source), picture())
    with pytest.raises(FileNotFoundError, match='² is not a file'):  # a digit, but not a number
        find_inputs('²')
    with pytest.raises(BadImage, match='camera 99999999999 cannot be opened'):
        open_frames('99999999999')


def test_files_of_a_folder_that_are_left_out_are_named_in_one_line(tree, monkeypatch):
    lines = []
    monkeypatch.setattr('sapiens.apis.inputs.print_log', lambda text, logger: lines.append(text))
    for name in ('b/c.HEIC', 'b/d.heic', 'b/e.mp4', 'f.jfif'):
        (tree / name).write_bytes(b'no image')
    (tree / 'linked').symlink_to(tree / 'b')
    items = find_inputs(tree)
    expected = ['a.jpg', 'a.png', 'b/10', 'b/2', 'f', 'gone', 'linked/10', 'linked/2']
    assert names(items) == expected
    (line,) = lines
    assert line.startswith(f'{tree}: 7 files left out: 4 .heic, 2 .mp4, 1 .txt')
    with pytest.raises(ValueError, match=r'no images in .*1 file left out: 1 \.txt$'):
        (tree / 'empty').mkdir()
        (tree / 'empty' / 'a.txt').touch()
        find_inputs(tree / 'empty')


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


@pytest.mark.parametrize('kind', ['grey16', 'rgba', 'palette', 'LA', 'cmyk', 'grey16.tif', 'turned', 'bilevel', 'gif'])
def test_a_pillow_image_has_the_pixels_of_its_file(kind, tmp_path):
    rgb, ramp = picture(), np.mgrid[:40, :60][1]
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = np.where(ramp < 30, 255, 90).astype(np.uint8)
    image, suffix, options = {
        'grey16': (Image.fromarray((ramp * 1000).astype(np.uint16)), '.png', {}),
        'grey16.tif': (Image.fromarray((ramp * 1000).astype(np.uint16)), '.tif', {}),
        'rgba': (Image.fromarray(np.dstack([ramp, ramp * 2, ramp * 3, alpha]).astype(np.uint8)), '.png', {}),
        'LA': (Image.fromarray(np.dstack([ramp, alpha]).astype(np.uint8), 'LA'), '.png', {}),
        'palette': (Image.fromarray(rgb).quantize(8), '.png', dict(transparency=3)),
        'cmyk': (Image.fromarray(rgb).convert('CMYK'), '.jpg', {}),
        'turned': (Image.fromarray(rgb), '.jpg', dict(exif=exif)),
        'bilevel': (Image.fromarray(rgb).convert('1'), '.png', {}),
        'gif': (Image.fromarray(rgb).quantize(8), '.gif', dict(transparency=2)),
    }[kind]
    path = tmp_path / f'a{suffix}'
    image.save(path, **options)
    pixels = read_pixels(path)
    np.testing.assert_array_equal(pixels, read_pixels(Image.open(path)))
    opened = Image.open(path)
    opened.load()
    assert pixels.std() > 1 and np.array_equal(pixels, read_pixels(opened.copy())), 'a copy forgets its format'


def test_contents_of_a_folder(tmp_path):
    assert is_inside(tmp_path / 'a' / 'b', [tmp_path]) and is_inside(tmp_path, [tmp_path])
    assert not is_inside(tmp_path.parent, [tmp_path]) and not is_inside(tmp_path.with_name('x'), [tmp_path])
