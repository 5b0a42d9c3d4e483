"""sapiens demo: the page's parts, events and settings, with a stand-in for gradio that records them."""

import os
import signal
import types
from pathlib import Path

import numpy as np
import pytest

from sapiens.apis.relight import Light, relight_results
from sapiens.commands import demo as tool
from sapiens.visualization.people import STYLES

from ..apis.test_sapiens2_results import tiny_config
from ..apis.tiny import write_pictures
from .test_demo import DEPTH, LABELS, POSE, ROOT


class Part:
    """A component: keeps its arguments; its events are pairs of the component and a name."""

    def __init__(self, kind, args, options):
        self.kind, self.args, self.options = kind, args, options

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __getattr__(self, name):
        if name not in ('load', 'change', 'click', 'upload', 'release'):
            raise AttributeError(name)
        return self, name


class Page(Part):
    local_url = 'http://127.0.0.1:7861/'
    calls: dict = {}

    def queue(self, **options):
        self.calls['queue'] = options

    def launch(self, **options):
        self.calls['launch'] = options
        self.calls['folder'] = os.environ['GRADIO_TEMP_DIR']
        assert Path(self.calls['folder']).is_dir() and os.environ['GRADIO_ANALYTICS_ENABLED'] == 'False'

    def block_thread(self):
        self.calls['blocked'] = True


class Error(Exception):
    def __init__(self, text, **options):
        super().__init__(text)
        self.options = options


@pytest.fixture
def gradio(monkeypatch):
    made = types.SimpleNamespace(parts=[], events=[], calls={})

    def component(kind):
        def make(*args, **options):
            made.parts.append((Page if kind == 'Blocks' else Part)(kind, args, options))
            return made.parts[-1]

        return make

    for kind in ('Blocks', 'Markdown', 'Row', 'Column', 'Group', 'Image', 'Radio', 'Dropdown', 'Button', 'Slider',
                 'Checkbox', 'Textbox', 'File', 'State'):  # fmt: skip
        setattr(made, kind, component(kind))
    made.on = lambda triggers, function, inputs, outputs, **options: made.events.append(
        types.SimpleNamespace(triggers=triggers, function=function, inputs=inputs, outputs=outputs, options=options)
    )
    made.update, made.Error = dict, Error
    made.themes = types.SimpleNamespace(Default=dict)
    monkeypatch.setattr(tool, 'require', lambda *_: made)
    monkeypatch.setattr(Page, 'calls', made.calls)
    return made


def titles(parts):
    return [part.options.get('label') or part.kind for part in parts]


@pytest.fixture
def page(gradio, tmp_path):
    return tool.make_page(tool.Demo([(POSE, None), (DEPTH, None)], ['torchvision:x'], device='cpu'), tmp_path), gradio


def test_parts_show_the_choices(page):
    made, gradio = page
    assert made is gradio.parts[0] and made.options == dict(title='sapiens', analytics_enabled=False)
    first = {}
    for title, part in zip(titles(gradio.parts), gradio.parts, strict=True):
        first.setdefault(title, part)
    found = first
    tasks = ['features', 'pose', 'depth', 'all']
    assert found['Task'].args == (tasks,) and found['Task'].options['value'] == 'features'
    assert found['Model'].args == ([*LABELS, 'pose + depth'],) and found['Model'].options['value'] == LABELS[0]
    detectors = found['Detector'].args[0]
    assert (detectors[0], detectors[-1]) == ('auto', 'torchvision:x')
    assert found['Detector'].options['value'] == 'auto' and found['Group'].options['visible'] is False
    assert found['Style'].args == (list(STYLES),) and found['Style'].options['value'] == STYLES[0] == 'default'
    score = found['Minimum score of a drawn keypoint']
    assert (score.args, score.options['value'], score.options['step']) == ((0, 1), 0.3, 0.05)
    assert found['Boxes'].options == dict(label='Boxes')  # off
    assert found['Image'].options['type'] == 'filepath' and found['Image'].options['sources'] == [
        'upload',
        'clipboard',
    ]
    assert found['Image'].options['height'] == found['Result'].options['height'] == 380
    assert [found[name].options['interactive'] for name in ('Result', 'Summary', 'Files')] == [False] * 3
    assert found['Result'].options['format'] == 'jpeg' and found['Files'].options['file_count'] == 'multiple'


def test_a_task_shows_its_models_and_options(page):
    _, gradio = page
    switch = gradio.events[0]
    assert [(part.kind, name) for part, name in switch.triggers] == [('Blocks', 'load'), ('Radio', 'change')]
    assert titles([switch.inputs]) == ['Task'] and titles(switch.outputs) == ['Model', 'Group', 'Group']
    assert switch.options == dict(api_visibility='private', show_progress='hidden')
    assert switch.function('pose') == (
        dict(choices=LABELS[:1], value=LABELS[0]),
        dict(visible=True),
        dict(visible=False),
    )
    assert switch.function('depth') == (dict(choices=LABELS[1:], value=LABELS[1]), *[dict(visible=False)] * 2)
    assert switch.function('features')[0] == dict(choices=LABELS, value=LABELS[0])
    assert switch.function('all')[:2] == (dict(choices=['pose + depth'], value='pose + depth'), dict(visible=True))


def test_the_button_and_a_new_image_compute(page, tmp_path):
    _, gradio = page
    run = gradio.events[1]
    assert [(titles([part]), name) for part, name in run.triggers] == [(['Button'], 'click'), (['Image'], 'upload')]
    wanted = ['Image', 'Task', 'Model', 'Detector', 'Style', 'Minimum score of a drawn keypoint', 'Boxes']
    wanted += ['Colors of keypoints and classes', 'Legend']
    assert titles(run.inputs) == wanted and titles(run.outputs) == ['Result', 'Summary', 'Files', 'State']
    assert run.options == dict(api_name='run')
    (path,) = write_pictures(tmp_path / 'in', [(64, 48)])
    rest = ('whole-image', 'default', 0.3, False)
    shown, text, files, kept = run.function(str(path), 'pose', LABELS[0], *rest)
    assert (
        kept is None and shown.endswith('0.jpg') and text.startswith('1 person') and Path(shown).parents[1] == tmp_path
    )
    assert [Path(file).name for file in files] == ['0.json', '0.jpg'] and Path(files[0]).is_file()
    figure, both, files, _ = run.function(str(path), 'all', 'pose + depth', *rest)
    assert Path(figure).name == 'all.jpg' and both.startswith('1 person, 17 keypoints each; depth ')
    assert {Path(file).parent.name for file in files} == {'pose', 'depth', Path(figure).parent.name}
    assert {Path(file).suffix for file in files} == {'.json', '.npy', '.jpg', '.png', '.ply'}
    seconds = float(text.split(' · ')[-1].removesuffix(' s'))
    assert 0 <= seconds < 60
    for arguments, message, options in (
        ((None, 'pose', LABELS[0]), 'Drop an image first.', dict(print_exception=False)),
        ((str(path), 'depth', LABELS[0]), "for 'depth'", dict(print_exception=False, duration=None)),
        ((str(tmp_path / 'none.jpg'), 'pose', LABELS[0]), 'No such file', dict(print_exception=False, duration=None)),
    ):
        with pytest.raises(Error, match=message) as error:
            run.function(*arguments, *rest)
        assert error.value.options == options


def test_a_light_that_turns(gradio, tmp_path):
    """The models of albedo and normals, cut out by the matte: the sliders shade the results again, without the models."""
    models = []
    for task in ('albedo', 'matting'):
        tiny_config(task).dump(str(tmp_path / f'{task}.py'))
        models.append((str(tmp_path / f'{task}.py'), None))
    normal = str(ROOT / 'configs/normal/sapiens2_tiny_synthetic-128x96.py')
    demo = tool.Demo([*models, (normal, None), (DEPTH, None)], device='cpu')
    assert demo.labels('relight') == ['albedo + normal + matting'] and not demo.takes_detector('relight')
    tool.make_page(demo, tmp_path)
    switch, run, turn = gradio.events
    assert switch.function('relight')[1:] == (dict(visible=False), dict(visible=True))
    (path,) = write_pictures(tmp_path / 'in', [(64, 48)])
    shown, text, files, kept = run.function(
        str(path), 'relight', 'albedo + normal + matting', 'whole-image', 'default', 0.3, False
    )
    assert Path(shown).name == 'relight.jpg' and 'one albedo per pixel' in text
    assert {Path(file).parent.name for file in files} == {'albedo', 'normal', 'matting', Path(shown).parent.name}
    assert set(kept) == {'albedo', 'normal', 'matting'}
    assert titles(turn.inputs)[0] == 'State' and titles([turn.outputs]) == ['Result']
    assert {name for _, name in turn.triggers} == {'release'} and len(turn.triggers) == 3
    found = turn.function(kept, -90.0, 10.0, 0.5)
    np.testing.assert_array_equal(found, relight_results(kept, Light(-90.0, 10.0, ambient=0.5)))
    assert (found != turn.function(kept, 90.0, 10.0, 0.5)).any()
    with pytest.raises(Error, match='Run the task relight first'):
        turn.function(None, 0.0, 0.0, 0.0)
    assert 'relight' not in tool.Demo([models[0], (DEPTH, None)], device='cpu').choices


def test_the_page_is_served_until_it_is_stopped(gradio, monkeypatch, capsys):
    for name in ('GRADIO_TEMP_DIR', 'GRADIO_ANALYTICS_ENABLED'):
        monkeypatch.setenv(name, 'before')
    handlers, threads = {}, []
    monkeypatch.setattr(signal, 'signal', handlers.__setitem__)
    monkeypatch.setattr(tool.threading, 'Thread', lambda **options: types.SimpleNamespace(
        start=lambda: threads.append(options)))  # fmt: skip
    tool.main(['--model', POSE, '--device', 'cpu', '--host', '0.0.0.0', '--port', '8000'])
    assert gradio.calls['queue'] == dict(default_concurrency_limit=1) and gradio.calls['blocked']
    launch = gradio.calls['launch']
    assert (launch['server_name'], launch['server_port'], launch['inbrowser']) == ('0.0.0.0', 8000, False)
    flags = dict(quiet=True, show_error=True, prevent_thread_lock=True, footer_links=[], max_file_size='64mb')
    assert {name: launch[name] for name in flags} == flags
    assert launch['theme']['font'][0] == 'system-ui'  # nothing is fetched from the network
    assert 'http://127.0.0.1:7861/' in capsys.readouterr().out
    [thread] = threads
    assert thread == dict(target=tool.delete_regularly, args=(Path(gradio.calls['folder']),), daemon=True)
    assert not Path(gradio.calls['folder']).exists()
    with pytest.raises(SystemExit) as ended:
        handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert ended.value.code == 0
    tool.main(['--model', POSE, '--device', 'cpu'])
    assert (gradio.calls['launch']['server_name'], gradio.calls['launch']['server_port']) == ('127.0.0.1', None)


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
