"""The steps of ``sapiens weights``: their order, what is skipped, and the end of the time. Commands are recorded, not run."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from sapiens.checkpoints import ZOO
from sapiens.commands import weights as command
from sapiens.own_weights import train as module
from sapiens.own_weights.recipes import GROUPS, JOINT_CONFIG, RECIPES, length_options, recipe_of
from sapiens.own_weights.train import OwnTraining, newest_iteration
from sapiens.utils.config import load_config

from .made import OWN, checkpoint

POSE = 'sapiens-tiny-pose17'


class Recorded(OwnTraining):
    """Commands leave what the real ones leave; a stage in ``slow`` is stopped."""

    slow = ()
    _calibrate_boxes = staticmethod(lambda checkpoint, *_: (checkpoint, 0.125))
    _calibrate_keypoints = staticmethod(lambda checkpoint, *_: (checkpoint, 1.5))

    def _call(self, arguments, seconds=None, root=None):
        self.calls.append(list(arguments))
        if arguments[0] in self.slow:
            return False
        if arguments[0] == 'train':
            work_dir = arguments[arguments.index('--work-dir') + 1]
            iterations = next(part for part in arguments if part.startswith('train_cfg.max_iters=')).partition('=')[2]
            path = module.Path(work_dir) / f'iter_{iterations}.pth'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.weights)
        if arguments[0] == 'test':
            module.Path(arguments[arguments.index('--out') + 1]).write_text('{"coco/AP": 0.125}')
        return True


@pytest.fixture
def training(tmp_path):
    (tmp_path / 'photographs').mkdir()
    weights = checkpoint(POSE, tmp_path).read_bytes()

    def make(entry=ZOO[POSE], weights=weights, **options):
        options = (
            dict(people=20, iterations=40, pretraining_iterations=30, val_people=8, out=tmp_path / 'out') | options
        )
        made = Recorded(entry, tmp_path / 'work', tmp_path / 'photographs', 'ours, CC0', say=str, **options)
        made.calls, made.weights = [], weights
        return made

    return make


def kinds(calls):
    return [call[0] for call in calls]


def test_all_steps_in_their_order_and_once(training, tmp_path):
    first = training()
    (packed,) = first.run(10)
    assert kinds(first.calls) == ['render', 'render', 'train', 'train', 'test']
    val, people, pretraining, own, _ = first.calls
    assert val[val.index('--num') + 1] == '8' and val[val.index('--seed') + 1] == '11'
    assert people[people.index('--num') + 1] == '20' and people[people.index('--seed') + 1] == '10'
    assert pretraining[1] == recipe_of(ZOO[POSE]).pretraining and own[1] == ZOO[POSE].config and '--resume' in own
    assert f'load_from={tmp_path}/work/people/pretraining/iter_30.pth' in own
    assert (tmp_path / 'work/people/backgrounds/train').resolve() == tmp_path / 'photographs'
    card = json.loads(packed.card.read_text())
    assert card['scores'] == {
        '8 rendered people, seed 11': {'coco/AP': 0.125},
        'factor of the logits by calibration': 1.5,
    }
    assert card['made_from']['photographs behind them'] == 'ours, CC0' and len(card['commands']) == 4
    assert card['made_from']['people'].startswith('20 images (--size 192x256 --people 1-1 ')
    assert str(tmp_path) not in json.dumps(card) and card['limits'] == RECIPES['pose17'].limits
    assert card['hours'].keys() == {'people for val', 'people for train', 'pretraining', 'training', 'on'}
    again = training()
    assert again.run(10) and kinds(again.calls) == ['test'], 'what is done is done'


@pytest.mark.parametrize('slow', ['render', 'train'])
def test_what_is_stopped_goes_on(training, slow):
    first = training()
    first.slow = (slow,)
    assert not first.run(10)
    assert kinds(first.calls) == (['render'] if slow == 'render' else ['render', 'render', 'train'])
    second = training()
    assert second.run(10)
    assert (
        kinds(second.calls) == kinds(first.calls)[-1:] + ['render', 'train', 'train', 'test'][slow == 'train' and 2 :]
    )


def test_no_step_begins_after_the_time(training, monkeypatch):
    made = training()
    assert not made.run(0.001) and made.calls == []


def test_shipped_weights_replace_the_pretraining(training, shipped):
    former = json.loads((shipped / f'{POSE}.json').read_text())
    made = training(from_shipped=True)
    (packed,) = made.run(10)
    before = json.loads(packed.card.read_text())['made_from']['weights before']
    assert before == {key: former[key] for key in ('made_from', 'commands', 'commit', 'hours')}
    own = made.calls[2]
    assert kinds(made.calls) == ['render', 'render', 'train', 'test'] and f'load_from={POSE}' in own
    alone = training(pretraining_iterations=0, from_shipped=True)
    (shipped / f'{POSE}.json').write_text(json.dumps(former | dict(commit='of the packed ones')))
    (packed,) = alone.run(10)
    assert json.loads(packed.card.read_text())['made_from']['weights before'] == before, 'cards of the start'
    with pytest.raises(ValueError, match='was started with people=20, not 30: go on with that'):
        training(people=30, from_shipped=True)


def test_cards_have_the_share_of_photographs_of_their_task(training):
    made = training()
    made.about_photographs = dict(photographs=3, share=dict(keypoints=0.05, boxes=0.3))
    (packed,) = made.run(10)
    about = json.loads(packed.card.read_text())['made_from']['photographs of people']
    assert about == dict(photographs=3, share=dict(keypoints=0.05))


def test_no_training_goes_on_from_weights_that_are_not_there(training, empty):
    with pytest.raises(FileNotFoundError, match=f'{POSE} is not in this version of the package'):
        training(from_shipped=True)


WAITS = (
    'import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); '
    'print(1, flush=True); time.sleep(60)'
)


@pytest.fixture
def started(monkeypatch):
    """The processes that take the place of commands. They run what ``code`` is set to."""
    popen, found = subprocess.Popen, SimpleNamespace(code=WAITS, processes=[], then=lambda: None)

    def start(_, env):
        found.environment = env
        process = popen([sys.executable, '-c', found.code], stdout=subprocess.PIPE)
        process.stdout.readline()
        found.processes.append(process)
        found.then()
        return process

    monkeypatch.setattr(module.subprocess, 'Popen', start)
    return found


def test_a_process_is_stopped_at_the_end_of_its_time(training, started):
    made, begin = training(), time.monotonic()
    assert OwnTraining._call(made, ['train', 'x'], 0.2) is False and time.monotonic() - begin < 20
    assert started.processes[0].returncode == 143
    started.code = 'print(1, flush=True); raise SystemExit(7)'
    with pytest.raises(SystemExit, match='7'):
        OwnTraining._call(made, ['train', 'x'], 60)


def test_a_signal_to_the_command_stops_the_process_that_it_waits_for(training, started, monkeypatch, tmp_path):
    made = training()
    made._call = lambda *arguments: OwnTraining._call(made, *arguments)
    made.deadline = time.monotonic() + 60
    made.prepare()
    made.run = lambda minutes: made._step('training', ['train', 'x'])
    monkeypatch.setattr(command, 'OwnTraining', lambda *args, **kwargs: made)
    started.then = lambda: threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.fail('the command has no handler'))
    try:
        with pytest.raises(KeyboardInterrupt):
            command.main(
                ['sapiens-tiny-pose17', '--minutes', '1', '--backgrounds', str(tmp_path), '--backgrounds-from', 'CC0']
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert started.processes[0].returncode == 143
    state = json.loads(made.state_file.read_text())
    assert state['seconds']['training'] >= 0.2 and state['done'] == [], 'its time counts'
    assert started.environment['SAPIENS_STOP_WITH_PARENT'] == str(os.getpid()), 'a killed command leaves no process'


def test_packed_weights_are_no_change_of_the_code(tmp_path):
    def git(*arguments):
        subprocess.run(['git', '-C', str(tmp_path), '-c', 'user.name=x', '-c', 'user.email=x', *arguments], check=True)

    assert module.commit(tmp_path) == 'unknown'
    git('init', '-q')
    (tmp_path / 'sapiens/weights').mkdir(parents=True)
    (tmp_path / 'sapiens/weights/__init__.py').touch()
    git('add', '.')
    git('commit', '-qm', 'x')
    for name in ('a.safetensors', 'a.json'):
        (tmp_path / 'sapiens/weights' / name).touch()
    assert len(module.commit(tmp_path)) == 40
    (tmp_path / 'sapiens/weights/__init__.py').write_text('changed')
    assert module.commit(tmp_path).endswith(' with changes')


def test_the_newest_checkpoint(tmp_path):
    assert newest_iteration(tmp_path) is None
    for name in ('iter_90.pth', 'iter_100.pth', 'iter_1000.pth.tmp', 'best_AP_iter_2000.pth'):
        (tmp_path / name).touch()
    assert newest_iteration(tmp_path) == (100, tmp_path / 'iter_100.pth')


@pytest.mark.parametrize('name', [*OWN, *GROUPS])
def test_options_of_every_recipe_exist_and_the_schedule_ends_with_the_training(name):
    what = GROUPS.get(name) or ZOO[name]
    recipe, own = recipe_of(what), what.config
    for config, iterations, is_pretraining in (
        (own, recipe.iterations, False),
        (own, 4, False),
        (recipe.pretraining, recipe.pretraining_iterations, True),
        *([(recipe.keypoints, recipe.keypoints_iterations, False)] if recipe.keypoints else []),
    ):
        cfg = load_config(config, length_options(iterations, is_pretraining, draws=config != JOINT_CONFIG))
        warm_up, decay = cfg.param_scheduler
        assert cfg.train_cfg.max_iters == decay['end'] == iterations and warm_up['end'] == decay['begin'] <= iterations
        assert decay.get('T_max', iterations - warm_up['end']) == iterations - warm_up['end']


def test_bf16_is_the_default_where_it_is_fast(training, monkeypatch):
    for is_fast, given, precision in ((True, None, 'bf16'), (False, None, 'fp32'), (True, False, 'fp32')):
        monkeypatch.setattr(module, 'has_fast_bf16', lambda is_fast=is_fast: is_fast)
        made, said = training(amp=given), []
        made.say, made.slow = said.append, ('train',)
        made.run(10)
        (train,) = (call for call in made.calls if call[0] == 'train')
        assert ('--amp' in train) == (precision == 'bf16') == ('optim_wrapper.precision=fp32' not in train)
        assert any('training in' in line and precision in line for line in said) == (given is None)
        made.state_file.unlink()


def test_arguments(tmp_path, capsys):
    for arguments, text in (
        (['pose17'], 'give --backgrounds DIR and --backgrounds-from TEXT'),
        (['pose17', '--pack', 'x.pth'], 'needs --about FILE'),
        (['all', '--pack', 'x.pth', '--about', 'x.json'], 'name it instead of all'),
        (['pose17', '--keypoints-iterations', '9'], '--keypoints-iterations is for all'),
        (
            ['all', '--from-shipped', '--pretraining-iterations', '9'],
            'takes the place of the stages before the training',
        ),
    ):
        with pytest.raises(SystemExit):
            command.main(arguments)
        assert text in capsys.readouterr().err
    with pytest.raises(ValueError, match='sapiens-pose-1b is published elsewhere'):
        command.main(['sapiens-pose-1b', '--backgrounds', 'x', '--backgrounds-from', 'x'])
    with pytest.raises(FileNotFoundError, match='is not a folder'):
        command.main(['pose17', '--backgrounds', str(tmp_path / 'x'), '--backgrounds-from', 'x'])


def test_rays_are_cast_on_a_gpu_where_there_is_one(training, monkeypatch):
    def scenes(made):
        return [call[-2:] for _, call in made.render_steps() if '--scene' in call]

    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert scenes(training()) == []
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    assert scenes(training()) == [['--scene', 'device=cuda']] * 2
    # Images that a machine without one has begun stay as they were begun, since devices round differently.
    made = training()
    (made.root / 'synthetic/train').mkdir(parents=True)
    (made.root / 'synthetic/train/dataset_card.json').write_text('{"options": {"seed": 10}}')
    assert scenes(made) == [['--scene', 'device=cuda']]
