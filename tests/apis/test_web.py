"""The parts of the page of sapiens demo that need no gradio: sentences, boxes by hand, drawings again, archives, progress."""

import time
import zipfile

import numpy as np
import pytest
import torch

from sapiens.apis.demo import ALL, Demo, require_files
from sapiens.apis.results import DepthResult, ImageResults, PoseResult, Saving
from sapiens.apis.results.by_task import get_result_class
from sapiens.apis.web.archive import describe, readme, write_zip
from sapiens.apis.web.hand_boxes import add_click, draw_boxes, format_boxes, parse_boxes, without_last
from sapiens.apis.web.kept import SIDE_BY_SIDE, Kept, Look, compare
from sapiens.apis.web.steps import Canceled, Progress, image_steps, watch
from sapiens.apis.web.texts import licenses, note, sentence, where
from sapiens.datasets.transforms import BadImage
from sapiens.metainfo import get_skeleton
from sapiens.tasks import task_names

from .tiny import LEAVES, ROOT, picture, write_pictures

POSE, DEPTH = str(ROOT / LEAVES['pose']), str(ROOT / LEAVES['depth'])


# ---------------------------------------------------------------------- sentences


def test_where_pictures_stay():
    assert where('127.0.0.1').startswith('Pictures and videos stay on this computer.') and '60 minutes' in where('::1')
    assert 'go to the computer that serves this page' in where('0.0.0.0')


def test_licenses_of_published_and_own_weights():
    named = licenses({'sapiens-pose-1b': dict(model='sapiens-pose-1b', checkpoint=None, task='pose')})
    assert named.startswith('sapiens-pose-1b: weights under Creative Commons') and 'not uses that are' in named
    own = licenses({'pose/x (a/b.pth)': dict(model=POSE, checkpoint='a/b.pth')})
    assert own.startswith('pose/x (a/b.pth): your own weights.')
    file = 'sapiens_1b_goliath_best_goliath_AP_639.pth'
    assert licenses({'x': dict(model=POSE, checkpoint=f'runs/{file}')}).startswith('sapiens-pose-1b: weights under')
    assert licenses({'x (random weights)': dict(model=POSE, checkpoint=None)}).endswith('its results mean nothing.')


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (BadImage('/srv/demo_x/ab/me.jpg: not an image (3 bytes)'), 'me.jpg cannot be used: not an image (3 bytes).'),
        (BadImage('empty file'), 'me.jpg cannot be used: empty file.'),
        (FileNotFoundError(2, 'No such file or directory', '/srv/demo_x/ab/me.jpg'), 'No such file or directory: me.jpg.'),
        (ValueError('cannot read /home/ann/w.pth\n and C:\\runs\\b.pth'), 'cannot read w.pth and b.pth.'),
        (ImportError('see https://pypi.org/project/av/'), 'see https://pypi.org/project/av/.'),
        (ValueError('x' * 400), 'x' * 299 + '…'),
        (torch.OutOfMemoryError('CUDA out of memory. Tried ... /usr/lib'), 'The device has too little memory: '
         'choose a smaller model or a smaller picture.'),
    ],
)  # fmt: skip
def test_errors_are_one_sentence_without_folders(error, expected):
    assert sentence(error, '/srv/demo_x/ab/me.jpg') == expected


def test_a_mistake_of_the_package_is_printed_not_shown(capsys):
    assert (
        sentence(KeyError('/srv/secret'))
        == 'The page failed with KeyError: the terminal of sapiens demo has the details.'
    )
    assert '/srv/secret' in capsys.readouterr().err


def test_notes_are_escaped_and_announced():
    assert note('a < b', 'error') == '<p class="note error" role="alert">a &lt; b</p>'
    assert 'role="status"' in note('Computing…') and note('') == ''


# ---------------------------------------------------------------------- boxes by hand


def test_two_clicks_are_a_box():
    text, corner = add_click('', None, (50, 60), (200, 100))
    assert (text, corner) == ('', (50, 60))
    assert add_click(text, corner, (10, 20), (200, 100)) == ('10, 20, 50, 60', None)
    assert add_click('', (50, 60), (51, 90), (200, 100)) == ('', None), 'a double click is not a box'


def test_a_click_on_a_corner_moves_it():
    text, corner = add_click('10, 20, 50, 60\n70, 20, 90, 60', None, (52, 19), (200, 100))
    assert (text, corner) == ('70, 20, 90, 60', (10, 60)), 'the box is taken up; the opposite corner stays'
    assert add_click(text, corner, (40, 30), (200, 100)) == ('70, 20, 90, 60\n10, 30, 40, 60', None)


def test_boxes_are_text():
    boxes = np.array([[1.4, 2, 30, 40], [50, 60, 70, 80]], np.float32)
    assert (
        format_boxes(boxes) == '1, 2, 30, 40\n50, 60, 70, 80' and without_last(format_boxes(boxes)) == '1, 2, 30, 40'
    )
    np.testing.assert_array_equal(parse_boxes('[30 40 1 2]\n\n', (35, 100)), [[1, 2, 30, 35]])
    assert parse_boxes('').shape == (0, 4)
    for text, message in (('1, 2, 3', 'expected four numbers'), ('1, 2, x, 4', 'expected four'), ('nan 1 2 3', 'expected'),
                          ('200, 0, 300, 10', 'no pixel of the picture of 100 x 80')):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            parse_boxes(text, (80, 100))


def test_boxes_are_drawn_over_the_picture():
    image = picture((80, 100))
    drawn = draw_boxes(image, '10, 10, 60, 60', (80, 40))
    changed = (drawn != image).any(-1)
    assert changed[10, 10:60].all() and changed[40, 80] and not changed[35, 35] and not changed[75, 95]


# ---------------------------------------------------------------------- drawing again


def people(image, scores=(0.9, 0.35)):
    skeleton = get_skeleton('coco17')
    points = np.zeros((1, 17, 2), np.float32)
    points[0, :2] = (20, 20), (60, 60)
    values = np.zeros((1, 17), np.float32)
    values[0, :2] = scores
    boxes = np.array([[5, 5, 80, 80]], np.float32)
    result = PoseResult(image, '/x/me.jpg', keypoints=points, scores=values, boxes=boxes, skeleton=skeleton)
    result.box_scores = np.ones(1, np.float32)
    return result


def depth(image):
    ramp = np.linspace(1, 2, image.shape[0] * image.shape[1], dtype=np.float32)
    return DepthResult(image, '/x/me.jpg', depth=ramp.reshape(image.shape[:2]), relative=True)


@pytest.fixture
def kept(tmp_path):
    image = picture((120, 90))
    results = ImageResults(dict(pose=people(image), depth=depth(image)))
    return Kept(results, ALL, 'a + b', ('json', 'picture', 'depth'), 1.0, tmp_path / 'files')


def test_threshold_and_boxes_draw_the_kept_result_again():
    image = picture((120, 90))
    kept = Kept(people(image), 'pose', 'a', ('json', 'picture'), 1.0, None)
    low, high = kept.view(Look(threshold=0.3)).picture, kept.view(Look(threshold=0.5)).picture
    assert (low[60, 60] != image[60, 60]).any() and (high[60, 60] == image[60, 60]).all()
    assert (kept.view(Look(show_boxes=True)).picture[5, 5:80] != image[5, 5:80]).any()
    view = kept.view(Look())
    np.testing.assert_array_equal(view.image, image)
    assert view.picture.shape == image.shape, 'without the legend, or the slider would compare other places'
    assert view.legend.shape[1] == 640 and kept.view(Look(legend=False)).legend is None


def test_of_all_tasks_one_can_be_shown(kept):
    whole = kept.view(Look())
    assert whole.image is None and whole.picture.shape[1] > 3 * 90 and kept.parts() == ['pose', 'depth']
    one = kept.view(Look(shown='depth'))
    assert one.picture.shape == (120, 90, 3) and one.image is not None
    np.testing.assert_array_equal(one.picture, kept.results['depth'].drawing(kept.results['depth'].choose(Saving())))


def test_the_slider_compares_pictures_that_are_served(kept, tmp_path):
    text = compare(kept.view(Look(shown='pose')), tmp_path, 'Pose <1>')
    assert '<input type="range"' in text and 'aria-label="Slider between input and result"' in text
    assert 'alt="Input"' in text and 'alt="Result: Pose &lt;1&gt;"' in text and 'alt="Legend' in text
    files = sorted(tmp_path.rglob('view_*/*.jpg'))
    assert [path.name.partition('_')[0] for path in files] == ['input', 'legend', 'result']
    assert all(f'gradio_api/file={path}' in text for path in files)
    again = compare(kept.view(Look(shown='pose')), tmp_path, 'Pose')
    assert not any(str(path) in again for path in files), 'a new address: browsers keep the picture of the old one'
    assert 'range' not in compare(kept.view(Look()), tmp_path, 'All tasks'), 'the figure has the input already'


def test_files_are_written_once_and_drawings_again(kept):
    first = kept.write(Look())
    assert [path.relative_to(kept.folder).as_posix() for path in first] == [
        'pose/me.jpg', 'pose/me.json', 'depth/me.jpg', 'depth/me.npy', 'all.jpg',
    ]  # fmt: skip
    old = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in first}
    time.sleep(0.02)
    second = kept.write(Look(threshold=0.99, legend=False))
    assert sorted(second) == sorted(first) and second[-1].name == 'all.jpg'
    for path in first:
        same = (path.stat().st_mtime_ns, path.read_bytes()) == old[path]
        assert same == (path.suffix in ('.json', '.npy')), path


# ---------------------------------------------------------------------- archive


def test_the_archive_tells_what_its_files_are(kept, tmp_path):
    files = kept.write(Look())
    about = {path.relative_to(kept.folder).as_posix(): describe(path, kept.folder, ALL) for path in files}
    text = readme('All tasks', 'a + b', 'License.', '1 person', about)
    with zipfile.ZipFile(write_zip(tmp_path / 'x.zip', kept.folder, files, text)) as archive:
        assert set(archive.namelist()) == {'README.txt', *about} and archive.testzip() is None
        found = archive.read('README.txt').decode()
        assert archive.read('depth/me.npy') == (kept.folder / 'depth/me.npy').read_bytes()
    lines = {line.split()[0]: line for line in found.splitlines() if line[:4] in ('pose', 'dept', 'all.')}
    assert 'people: boxes, keypoints (x, y in pixels)' in lines['pose/me.json']
    assert '(H, W) float32' in lines['depth/me.npy'] and 'side by side' in lines['all.jpg']
    assert 'Model: a + b' in found and 'License.' in found and 'the center of its top-left pixel is (0, 0)' in found


def test_every_kind_of_file_is_described(tmp_path):
    """Also those of a task outside the package, which have the name of the kind."""
    for task in task_names(inference=True):
        for file in get_result_class(task).files:
            assert file.about, (task, file.kind)
    assert describe(tmp_path / 'me_seg.npy', tmp_path, 'seg') == '(H, W) class ids'
    assert 'bool' in describe(tmp_path / 'me.npy', tmp_path, 'seg')
    assert describe(tmp_path / 'pose/me.mp4', tmp_path, ALL) == 'the video with the drawings'


# ---------------------------------------------------------------------- progress


def test_progress_is_reported_while_work_runs(monkeypatch):
    monkeypatch.setattr('sapiens.apis.web.steps.EVERY', 0.01)
    progress, lines, ready = Progress(), [], []

    def work():
        while not ready:
            time.sleep(0.001)
        return 7

    progress.text = 'Computing'
    steps = watch(work, progress)
    lines.append(next(steps).text)
    progress.text = 'Frame 2 of 3'
    lines.append(next(steps).text)
    ready.append(1)
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert end.value.value == 7 and lines == ['Computing…', 'Frame 2 of 3…']


def test_cancel_ends_the_wait(monkeypatch):
    monkeypatch.setattr('sapiens.apis.web.steps.EVERY', 0.01)
    progress = Progress()
    steps = watch(progress.canceled.wait, progress)
    next(steps)
    progress.canceled.set()
    with pytest.raises((Canceled, StopIteration)):
        next(steps)
    with pytest.raises(Canceled):
        list(progress.frames(iter([1, 2]), 2))
    steps = watch(lambda: time.sleep(0.2), fresh := Progress())
    next(steps)
    steps.close()
    assert fresh.canceled.is_set(), 'the page is gone'


def test_an_error_of_the_work_is_raised():
    with pytest.raises(BadImage, match='no'):
        list(watch(lambda: (_ for _ in ()).throw(BadImage('no')), Progress()))


def test_loading_is_announced_the_first_time_only(tmp_path):
    demo = Demo([(POSE, None)], device='cpu')
    (label,) = demo.labels('pose')
    (path,) = write_pictures(tmp_path, [(64, 48)])

    def run(boxes=None):
        steps = list(image_steps(demo, str(path), 'pose', label, 'whole-image', boxes, tmp_path, Progress()))
        return [step.text for step in steps], steps[-1].result

    lines, kept = run()
    assert lines[0] == f'Loading the model {label}, the first time only…' and 'Computing…' in lines
    assert kept.task == 'pose' and len(kept.results) == 1 and kept.kinds == ('json', 'picture')
    lines, kept = run(np.array([[1, 2, 30, 40], [5, 6, 20, 30]], np.float32))
    assert not any('Loading' in line for line in lines)
    assert kept.results.boxes.tolist() == [[1, 2, 30, 40], [5, 6, 20, 30]], 'boxes by hand instead of the detector'


def test_titles_are_plain_and_the_encoder_comes_last():
    titles = Demo([(POSE, None), (DEPTH, None)], device='cpu').titles()
    assert titles == dict(pose='Pose (keypoints)', depth='Depth', all='All tasks', features='Features of the encoder')
    assert list(titles) == ['pose', 'depth', 'all', 'features']


def test_missing_weights_are_refused_before_the_page_is_served(tmp_path, monkeypatch):
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path))
    (tmp_path / 'best_1.pth').write_bytes(b'')
    require_files([(POSE, None), (POSE, str(tmp_path / 'best_1.pth'))])
    with pytest.raises(FileNotFoundError, match=r'no checkpoint .*best_2.pth; .* there is best_1.pth'):
        require_files([(POSE, None), (POSE, str(tmp_path / 'best_2.pth'))])
    with pytest.raises(FileNotFoundError, match='sapiens download sapiens-seg-1b'):
        require_files([('sapiens-seg-1b', None)])


def test_side_by_side_is_the_default_of_the_look():
    assert Look().shown == SIDE_BY_SIDE and Look().drawing() == dict(
        style='default', threshold=0.3, show_boxes=False, palette='distinct', legend=True
    )
