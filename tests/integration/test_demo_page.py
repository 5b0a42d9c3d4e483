"""sapiens demo: what the components of the page call, and how it is served. No gradio is needed."""

import os
import signal
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sapiens.apis.relight import Light, relight_results
from sapiens.apis.web.events import Handlers
from sapiens.apis.web.kept import Look
from sapiens.apis.web.layout import BY_HAND, EXAMPLES, STYLE_SHEET
from sapiens.commands import demo as tool

from ..apis.test_sapiens2_results import tiny_config
from ..apis.tiny import write_pictures
from .test_demo import DEPTH, LABELS, POSE, ROOT


@pytest.fixture
def act(tmp_path):
    folder = tmp_path / 'served'
    folder.mkdir()
    return Handlers(tool.Demo([(POSE, None), (DEPTH, None)], ['torchvision:x'], device='cpu'), folder, dict)


@pytest.fixture
def image(tmp_path):
    (path,) = write_pictures(tmp_path / 'in', [(64, 48)])
    return dict(path=str(path), url=None)


def run(act, image, task, label, detector='whole-image', boxes='', look=None, mode='image', video=None):
    """All changes of a computation, in order."""
    return list(act.compute('me', mode, image, video, 50, task, label, detector, boxes, look or Look()))


def test_a_task_shows_its_models_and_options(act):
    changed = act.switch('pose')
    assert changed['model'] == dict(choices=LABELS[:1], value=LABELS[0])
    assert (changed['people'], changed['lamp']) == (dict(visible=True), dict(visible=False))
    assert 'random weights' in changed['license'] and 'its results mean nothing' in changed['license']
    assert act.switch('depth')['people'] == dict(visible=False)
    assert act.switch('all')['model'] == dict(choices=['pose + depth'], value='pose + depth')
    assert act.switch('features')['model']['choices'] == LABELS


def test_a_picture_is_computed_drawn_and_packed(act, image):
    *before, last = run(act, image, 'pose', LABELS[0])
    assert 'Loading the model' in before[0]['status'] and all(set(step) == {'status'} for step in before)
    assert '1 person, 17 keypoints each · 48 x 64 pixels' in last['status']
    assert 'class="compare"' in last['result'] and last['boxes'] == '0, 0, 48, 64'
    assert last['run'] == dict(interactive=True) and last['cancel'] == dict(visible=False) and not act.running
    archive = act.packed(last['kept'], Look())['download']
    assert archive['interactive'] and Path(archive['value']).name == 'sapiens_pose_0.zip'
    with zipfile.ZipFile(archive['value']) as opened:
        assert set(opened.namelist()) == {'README.txt', '0.json', '0.jpg'}
        text = opened.read('README.txt').decode()
    assert 'Task: Pose (keypoints)' in text and f'Model: {LABELS[0]}' in text and 'mean nothing' in text


def test_drawing_again_computes_nothing(act, image, monkeypatch):
    kept = run(act, image, 'pose', LABELS[0])[-1]['kept']
    monkeypatch.setattr(act.demo, 'predict', lambda *_: pytest.fail('computed again'))
    first = act.drawn(kept, Look())['result']
    assert act.drawn(kept, Look(threshold=0.9))['result'] != first
    wrong = act.drawn(kept, Look(style='none'))
    assert set(wrong) == {'status'} and 'is not one of' in wrong['status'] and 'note error' in wrong['status']
    assert act.drawn(None, Look()) == {} == act.packed(None, Look()), 'nothing is kept'


def test_all_tasks_can_be_shown_one_at_a_time(act, image):
    last = run(act, image, 'all', 'pose + depth')[-1]
    assert [name for _, name in last['shown']['choices']] == ['side by side', 'pose', 'depth']
    assert last['shown']['visible'] and 'range' not in last['result']
    assert 'range' in act.drawn(last['kept'], Look(shown='depth'))['result']
    with zipfile.ZipFile(act.packed(last['kept'], Look())['download']['value']) as opened:
        assert {'all.jpg', 'pose/0.json', 'depth/0.npy'} < set(opened.namelist())


def test_another_choice_clears_the_result(act):
    changed = act.clear()
    assert 'appears here' in changed['result'] and changed['status'] == '' and changed['kept'] is None
    assert changed['download'] == dict(value=None, interactive=False) and not changed['shown']['visible']
    started = act.start()
    assert started['kept'] is None and 'Waiting' in started['status'] and started['cancel'] == dict(visible=True)
    assert started['run'] == dict(interactive=False)


def test_errors_are_one_sentence_in_one_place(act, image, tmp_path):
    Path(image['path']).write_bytes(b'\xff\xd8\xff not a jpeg')
    for arguments, text in (
        ((None, 'pose', LABELS[0]), 'Choose a picture first.'),
        ((image, 'pose', LABELS[0]), '0.png cannot be used: '),
        ((image, 'depth', LABELS[0]), 'for &#x27;depth&#x27;'),
    ):
        changes = run(act, *arguments)
        status = changes[-1]['status']
        assert 'class="note error" role="alert"' in status and text in status, status
        assert str(tmp_path) not in status and '/tmp' not in status
        assert changes[-1]['run'] == dict(interactive=True) and 'result' not in changes[-1]
    assert 'Choose a video first.' in run(act, image, 'pose', LABELS[0], mode='video')[-1]['status']
    video = dict(video=image, subtitles=None)
    assert 'are for pictures' in run(act, image, 'pose', LABELS[0], BY_HAND, mode='video', video=video)[-1]['status']
    assert 'Draw a box first' in run(act, dict(path=str(EXAMPLES[0])), 'pose', LABELS[0], BY_HAND)[-1]['status']


def test_cancel(act, image):
    steps = act.compute('me', 'image', image, None, 50, 'pose', LABELS[0], 'whole-image', '', Look())
    next(steps)
    assert 'Canceled.' in act.cancel('me')['status'] and act.cancel('another')['run'] == dict(interactive=True)
    assert 'Canceled.' in list(steps)[-1]['status']


def test_a_box_by_hand_where_no_person_is_found(act, image, monkeypatch):
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    monkeypatch.setattr('sapiens.apis.demo.build_detector', lambda *_: lambda images: [none for _ in images])
    last = run(act, image, 'pose', LABELS[0], 'auto')[-1]
    assert 'No person was found: draw a box' in last['status'] and last['detector'] == BY_HAND
    assert last['boxes'] == ''
    shown = act.canvas(image, last['detector'], last['boxes'])
    assert shown['hand'] == dict(visible=True) and shown['canvas'].shape == (64, 48, 3)
    first = act.clicked(image, '', None, (5, 6))
    assert first['corner'] == (5, 6) and first['boxes'] == ''
    second = act.clicked(image, '', (5, 6), (40, 50))
    assert second['boxes'] == '5, 6, 40, 50' and second['corner'] is None
    assert (second['canvas'] != shown['canvas']).any()
    last = run(act, image, 'pose', LABELS[0], BY_HAND, second['boxes'])[-1]
    assert last['kept'].results.boxes.tolist() == [[5, 6, 40, 50]] and '1 person' in last['status']
    assert 'expected four numbers' in act.canvas(image, BY_HAND, '1, 2')['status']
    assert act.canvas(image, 'auto', '')['hand'] == dict(visible=False)


def test_a_light_that_turns(tmp_path):
    """The models of albedo and normals, cut out by the matte: the sliders shade the results again, without the models."""
    models = []
    for task in ('albedo', 'matting'):
        tiny_config(task).dump(str(tmp_path / f'{task}.py'))
        models.append((str(tmp_path / f'{task}.py'), None))
    normal = str(ROOT / 'configs/normal/sapiens2_tiny_synthetic-128x96.py')
    demo = tool.Demo([*models, (normal, None), (DEPTH, None)], device='cpu')
    label = 'albedo + normal + matting'
    assert demo.labels('relight') == [label] and not demo.takes_detector('relight')
    act = Handlers(demo, tmp_path, dict)
    assert act.switch('relight')['lamp'] == dict(visible=True)
    (path,) = write_pictures(tmp_path / 'in', [(64, 48)])
    kept = run(act, dict(path=str(path)), 'relight', label)[-1]['kept']
    assert set(kept.results) == {'albedo', 'normal', 'matting'} and kept.parts() == []
    view = kept.view(Look(azimuth=-90.0, elevation=10.0, ambient=0.5))
    np.testing.assert_array_equal(view.picture, relight_results(kept.results, Light(-90.0, 10.0, ambient=0.5)))
    assert (view.picture != kept.view(Look(azimuth=90.0)).picture).any() and view.image.shape == view.picture.shape
    assert 'relight.jpg' in {file.name for file in kept.write(Look())}
    assert 'takes a picture' in run(act, None, 'relight', label, mode='video', video=dict(path='x.mp4'))[-1]['status']
    assert 'relight' not in tool.Demo([models[0], (DEPTH, None)], device='cpu').choices


def test_a_video_is_drawn(act, tmp_path):
    pytest.importorskip('av', reason='videos need PyAV: pip install av')
    from fractions import Fraction

    from sapiens.apis.video.video_file import Frame, VideoWriter

    writer = VideoWriter(tmp_path / 'walk.mp4', Fraction(10))
    for index in range(4):
        writer.write(Frame(np.full((64, 48, 3), 40 * index, np.uint8), Fraction(index, 10)))
    writer.close()
    video = dict(path=str(tmp_path / 'walk.mp4'))
    changes = run(act, None, 'all', 'pose + depth', mode='video', video=dict(video=video, subtitles=None))
    last = changes[-1]
    assert last['clip']['visible'] and Path(last['clip']['value']).parent.name == 'figure'
    with zipfile.ZipFile(last['download']['value']) as opened:
        assert {'README.txt', 'figure/walk.mp4', 'pose/walk.json', 'pose/walk.mp4', 'depth/walk.mp4'} <= set(
            opened.namelist()
        )
        assert 'the video with the drawings' in opened.read('README.txt').decode()


def test_the_page_is_served_until_it_is_stopped(monkeypatch, capsys, tmp_path):
    calls = {}

    class Page:
        local_url = 'http://127.0.0.1:7861/'

        def queue(self, **options):
            calls['queue'] = options

        def launch(self, **options):
            calls['launch'], calls['folder'] = options, os.environ['GRADIO_TEMP_DIR']
            assert Path(calls['folder']).is_dir() and os.environ['GRADIO_ANALYTICS_ENABLED'] == 'False'

        def block_thread(self):
            calls['blocked'] = True

    for name in ('GRADIO_TEMP_DIR', 'GRADIO_ANALYTICS_ENABLED'):
        monkeypatch.setenv(name, 'before')
    handlers, threads = {}, []
    monkeypatch.setattr(tool, 'require', lambda *_: types.SimpleNamespace(themes=types.SimpleNamespace(Default=dict)))
    monkeypatch.setattr(tool, 'make_page', lambda gr, demo, folder, host: calls.update(host=host) or Page())
    monkeypatch.setattr(signal, 'signal', handlers.__setitem__)
    monkeypatch.setattr(tool.threading, 'Thread', lambda **options: types.SimpleNamespace(
        start=lambda: threads.append(options)))  # fmt: skip
    tool.main(['--model', POSE, '--device', 'cpu', '--host', '0.0.0.0', '--port', '8000'])
    assert calls['queue'] == dict(default_concurrency_limit=1) and calls['blocked'] and calls['host'] == '0.0.0.0'
    launch = calls['launch']
    assert (launch['server_name'], launch['server_port'], launch['inbrowser']) == ('0.0.0.0', 8000, False)
    flags = dict(quiet=True, show_error=True, prevent_thread_lock=True, footer_links=[], max_file_size='64mb')
    assert {name: launch[name] for name in flags} == flags and launch['css_paths'] == STYLE_SHEET
    assert launch['theme']['font'][0] == 'system-ui'  # nothing is fetched from the network
    assert 'http://127.0.0.1:7861/' in capsys.readouterr().out
    [thread] = threads
    assert thread == dict(target=tool.delete_regularly, args=(Path(calls['folder']),), daemon=True)
    assert not Path(calls['folder']).exists()
    with pytest.raises(SystemExit) as ended:
        handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert ended.value.code == 0
    tool.main(['--model', POSE, '--device', 'cpu'])
    assert (calls['launch']['server_name'], calls['launch']['server_port']) == ('127.0.0.1', None)
    with pytest.raises(FileNotFoundError, match='no checkpoint .*none.pth'):
        tool.main(['--model', POSE, '--checkpoint', str(tmp_path / 'none.pth')])


def test_old_files_are_deleted_four_times_an_hour(monkeypatch, tmp_path):
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    deleted = []
    monkeypatch.setattr(tool.time, 'sleep', sleep)
    monkeypatch.setattr(tool, 'delete_old', deleted.append)
    with pytest.raises(KeyboardInterrupt):
        tool.delete_regularly(tmp_path)
    assert waits == [900] * 3 and deleted == [tmp_path] * 2


def test_available_models_are_those_with_a_file(monkeypatch):
    def resolve(name):
        if name not in ('sapiens-pose-1b', 'sapiens-pretrain-0.3b', 'sapiens-seg-0.6b'):
            raise FileNotFoundError(name)

    monkeypatch.setattr('sapiens.apis.demo.resolve_checkpoint', resolve)
    assert sorted(tool.models_on_this_machine()) == [
        ('sapiens-pose-1b', None), ('sapiens-pretrain-0.3b', None), ('sapiens-seg-0.6b', None),
    ]  # fmt: skip
