"""Functions of the commands: what arguments become, and what tables show."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.structures import PoseDataSample

from sapiens.apis.output_dir import skeleton_of
from sapiens.apis.results import Saving
from sapiens.bulk import build_engine
from sapiens.commands import browse, check, config, convert, curves, download, infer, quickstart, render, score, verify
from sapiens.commands import test as evaluate
from sapiens.commands import train as training
from sapiens.datasets.checks import Findings
from sapiens.metainfo import get_skeleton
from sapiens.utils.cli import positive

from . import status_of

ROOT = Path(__file__).parents[2]
CONFIGS = {task: str(ROOT / f'configs/{task}/sapiens_tiny_synthetic{"17" * (task == "pose")}-128x96.py')
           for task in ('pose', 'seg', 'depth', 'normal')}  # fmt: skip
MAE = str(ROOT / 'configs/mae/sapiens_tiny_synthetic-128x128.py')


# ---------------------------------------------------------------------- infer


def plan(task, *options):
    models = [CONFIGS[name] for name in CONFIGS] if task == 'all' else [CONFIGS.get(task, MAE)]
    return infer.make_plan(infer.parse_args([task, 'in', '--out', 'out', '--model', *models, *map(str, options)]))


def test_plan_of_pose_without_options():
    made = plan('pose')
    common = dict(dtype='fp32', batch_size=8, compile=False, checkpoint=None, task='pose', cfg_options=None)
    assert made.models == dict(pose=dict(common, model=CONFIGS['pose'], flip_test=None, num_keypoints=None))
    assert made.detector == dict(text='whole-image', threshold=0.3, nms_threshold=0.3, if_no_detections='empty')
    assert made.saving == Saving() and (made.out, made.workers) == (Path('out'), 2)
    assert (made.subfolders, made.boxes, made.mask_dir, made.hidden) == (False, None, None, ())


def test_plan_of_boxes_keeps_them_all():
    made = plan('pose', '--boxes', 'x.json')
    assert made.boxes == 'x.json'
    assert made.detector == dict(text='whole-image', threshold=0.0, nms_threshold=1.0, if_no_detections='empty')
    limits = ('--box-threshold', 0, '--nms-threshold', 0.5, '--when-nobody', 'whole-image')
    for source in (('--boxes', 'x.json'), ('--detector', 'torchvision:x')):
        found = plan('pose', *source, *limits).detector
        assert found.pop('text') == ('whole-image' if '--boxes' in source else 'torchvision:x')
        assert found == dict(threshold=0.0, nms_threshold=0.5, if_no_detections='whole-image')


def test_plan_with_options_of_files():
    made = plan(
        'pose', '--heatmaps', '--crop', 'face', 'hand', '--save', 'json', '--json-layout', 'lite', '--radius', 2,
        '--thickness', 3, '--show-boxes', '--style', 'openpose', '--threshold', 0.4, '--depth-limits', 1, 4, '--ply-distance', 3,
        '--ply-extent', 4, '--fov', 60, '--opacity', 0.2, '--picture-format', 'png', '--map-format', 'png',
        '--normal-frame', 'camera', '--workers', 5, '--no-flip-test', '--num-keypoints', 133, '--compile', '--dtype', 'bf16',
        '--batch-size', 3, '--show-indices', '--model', 'sapiens_tiny_synthetic308-128x96',
    )  # fmt: skip
    assert made.saving == Saving(
        kinds=('json',), extra=('heatmaps', 'face', 'hand'), json_layout='lite', radius=2.0, thickness=3, show_boxes=True,
        style='openpose', threshold=0.4, depth_limits=(1.0, 4.0), distance=3.0, extent=4.0, fov=60.0, opacity=0.2,
        picture_format='png', map_format='png', normal_frame='camera', show_indices=True,
    )  # fmt: skip
    options = made.models['pose']
    assert options['heatmaps'] is True and options['flip_test'] is False and options['num_keypoints'] == 133
    assert (options['compile'], options['dtype'], options['batch_size']) == (True, 'bf16', 3) and made.workers == 5


def test_plan_with_keypoints_of_another_skeleton():
    made = plan('pose', '--keypoints-as', 'openpose25')
    assert made.models['pose']['keypoints_as'] == 'openpose25'
    assert skeleton_of(made.models['pose']) is get_skeleton('openpose25')
    assert 'keypoints_as' not in plan('pose').models['pose']


def test_plan_of_all_tasks_and_of_masks(tmp_path):
    made = plan('all')
    assert list(made.models) == list(CONFIGS) and made.subfolders and made.detector['text'] == 'whole-image'
    assert 'num_keypoints' not in made.models['seg'] and made.models['seg']['flip_test'] is None
    weights = str(tmp_path / 'x.pth')
    with pytest.raises(FileNotFoundError, match='no checkpoint .*x.pth'):
        plan('depth', '--mask-model', CONFIGS['seg'], '--mask-checkpoint', weights)
    Path(weights).write_bytes(b'weights')
    masked = plan('depth', '--mask-model', CONFIGS['seg'], '--mask-checkpoint', weights)
    assert masked.hidden == ('seg',) and masked.written() == ['depth'] and masked.detector is None
    common = dict(dtype='fp32', batch_size=8, compile=False)
    assert masked.models['seg'] == dict(common, model=CONFIGS['seg'], checkpoint=weights, task='seg')
    assert plan('features').models['features']['model'] == MAE


@pytest.mark.parametrize(
    ('task', 'options', 'text'),
    [
        ('depth', ('--num-keypoints', 17), '--num-keypoints is for pose'),
        ('depth', ('--keypoints-as', 'coco17'), '--keypoints-as is for pose'),
        ('pose', ('--keypoints-as', 'coco71'), "did you mean 'coco17'"),
        ('depth', ('--boxes', 'x.json'), '--boxes and --detector are for pose'),
        ('seg', ('--detector', 'embedded'), '--detector embedded: --boxes and --detector are for pose'),
        ('pose', ('--mask-model', CONFIGS['seg']), '--mask-model is for depth and normal'),
        ('depth', ('--mask-model', CONFIGS['normal']), 'gives no masks of people'),
        ('depth', ('--mask-model', CONFIGS['seg'], '--mask-dir', '.'), 'leave out --mask-dir'),
        ('all', ('--mask-model', CONFIGS['seg']), 'or the seg model of --model'),
        ('all', ('--cfg-options', 'a=1'), '--cfg-options is for one model'),
        ('depth', ('--mask-dir', 'nowhere'), '--mask-dir nowhere is not a folder'),
        ('seg', ('--save', 'json'), 'none of json is a file of'),
        ('pose', ('--model', CONFIGS['pose'], CONFIGS['seg']), 'pose takes one model'),
        ('all', ('--model', CONFIGS['pose'], CONFIGS['pose']), "two models for 'pose'"),
        ('pose', ('--model', CONFIGS['seg']), "is a model for 'seg', not for 'pose'"),
    ],
)
def test_plans_that_contradict_themselves(task, options, text):
    with pytest.raises((ValueError, FileNotFoundError), match=text):
        plan(task, *options)


def test_devices(monkeypatch):
    monkeypatch.setattr(infer, 'pick_device', lambda name: None)

    def devices(*options):
        return infer.parse_devices(infer.parse_args(['pose', 'in', '--out', 'x', '--model', 'm', *options]))

    assert devices() == ['auto'] and devices('--device', 'cpu') == ['cpu']
    assert devices('--devices', '0, 3,cpu') == ['cuda:0', 'cuda:3', 'cpu']
    with pytest.raises(ValueError, match='give only one of them'):
        devices('--devices', '0', '--device', 'cpu')


# ---------------------------------------------------------------------- train, test, quickstart


@pytest.fixture
def started(monkeypatch):
    """Configs of the runners that a command starts."""
    configs = []

    class Runner:
        bare_model = None

        @classmethod
        def from_cfg(cls, cfg):
            configs.append(cfg)
            return cls()

        def train(self):
            pass

        def test(self):
            return {'coco/AP': 0.5}

    monkeypatch.setattr(training, 'Runner', Runner)
    monkeypatch.setattr(evaluate, 'Runner', Runner)
    monkeypatch.setenv('DATA_ROOT', 'data')
    return configs


def test_options_of_training(started, monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    training.main([CONFIGS['pose']])
    training.main([CONFIGS['pose'], '--amp', '--resume', '--work-dir', 'w', '--local-rank', '3'])
    training.main(
        [CONFIGS['pose'], '--resume', 'a.pth', '--launcher', 'pytorch', '--cfg-options', 'train_cfg.max_iters=7']
    )
    plain, resumed, from_file = started
    assert not plain.get('resume') and plain.launcher == 'none' and plain.optim_wrapper.get('precision') != 'bf16'
    assert plain.work_dir == 'work_dirs/sapiens_tiny_synthetic17-128x96'
    assert resumed.resume == 'auto' and resumed.work_dir == 'w' and resumed.optim_wrapper.precision == 'bf16'
    assert from_file.resume is True and from_file.load_from == 'a.pth' and from_file.launcher == 'pytorch'
    assert from_file.train_cfg.max_iters == 7


def test_options_of_a_test(started, tmp_path):
    out = tmp_path / 'deep/x.json'
    evaluate.main(
        [CONFIGS['pose'], 'a.pth', '--out', str(out), '--dump', 'd.json', '--show-dir', 's', '--show-limit', '3']
    )
    evaluate.main([CONFIGS['pose'], 'a.pth', '--show-dir', 's', '--show-heatmaps'])
    first, second = started
    assert json.loads(out.read_text()) == {'coco/AP': 0.5}
    assert first.load_from == 'a.pth' and first.resume is False
    metrics = first.test_evaluator if isinstance(first.test_evaluator, list) else [first.test_evaluator]
    assert [metric.get('dump') for metric in metrics if metric['type'] == 'KeypointMetric'] == ['d.json']
    assert first.custom_hooks[-1] == dict(type='PoseShowHook', out_dir='s', limit=3)
    assert second.custom_hooks[-1] == dict(type='PoseShowHook', out_dir='s', limit=None, heatmaps=True)
    with pytest.raises(ValueError, match='predicts no heatmaps'):
        evaluate.main([CONFIGS['depth'], 'a.pth', '--show-dir', 's', '--show-heatmaps'])


def test_a_graph_has_no_average_of_weights():
    hooks = dict(ema=dict(type='EMAHook'), other=dict(type='Other'), none=None)
    cfg = Config(dict(default_hooks=hooks, custom_hooks=[dict(type='EMAHook'), dict(type='Mine')]))
    evaluate.without_average(cfg)
    assert list(cfg.default_hooks) == ['other', 'none'] and [hook['type'] for hook in cfg.custom_hooks] == ['Mine']
    bare = Config(dict())
    evaluate.without_average(bare)
    assert bare.custom_hooks == []


def test_quickstart_renders_and_trains(monkeypatch, tmp_path, capsys):
    calls = []
    (tmp_path / 'run').mkdir()
    for age, name in enumerate(('iter_5.pth', 'iter_10.pth', 'reconstruction_1.png', 'scalars.json')):
        (tmp_path / 'run' / name).touch()
        quickstart.os.utime(tmp_path / 'run' / name, (age, age))
    monkeypatch.setattr(
        quickstart, 'run_command', lambda *arguments, **environment: calls.append((arguments, environment))
    )
    quickstart.main(['--work-dir', str(tmp_path), '--people', '5', '--iterations', '30'])
    (drawn, _), (trained, environment) = calls
    wanted = (
        'render',
        '--out',
        tmp_path / 'people',
        '--num',
        5,
        '--size',
        '288x384',
        '--people',
        '1-2',
        '--compact',
        '--preview',
    )
    assert drawn == wanted
    assert trained[:2] == ('train', 'sapiens_tiny_folder-256x256') and trained[2:4] == ('--work-dir', tmp_path)
    assert trained[5:] == (
        'train_cfg.max_iters=30', 'train_cfg.val_interval=30', 'param_scheduler.1.T_max=10', 'param_scheduler.1.end=30',
    )  # fmt: skip
    assert environment == dict(DATA_ROOT=str(tmp_path / 'people/rgb'))
    text = capsys.readouterr().out
    assert 'iter_10.pth' in text and 'preview_rgb.png' in text and 'for 30 steps' in text
    calls.clear()
    quickstart.main(['--work-dir', str(tmp_path), '--images', str(tmp_path)])
    [(_, environment)] = calls
    assert environment == dict(DATA_ROOT=str(tmp_path)) and 'preview_rgb' not in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r'left no iter_\*\.pth'):
        quickstart.newest(tmp_path / 'none', 'iter_*.pth')


def test_quickstart_ends_with_the_status_of_its_command(monkeypatch):
    seen = []
    monkeypatch.setattr(
        quickstart.subprocess, 'run', lambda command, env: seen.append((command, env)) or SimpleNamespace(returncode=3)
    )
    with pytest.raises(SystemExit) as ended:
        quickstart.run_command('train', 5, DATA_ROOT='x')
    assert ended.value.code == 3 and seen[0][0] == [sys.executable, '-m', 'sapiens.commands', 'train', '5']
    assert seen[0][1]['DATA_ROOT'] == 'x' and 'PATH' in seen[0][1]


# ---------------------------------------------------------------------- tables


def test_problems_come_first_with_examples():
    findings = Findings()
    for number in range(7):
        findings.add('a note', number, wrong=False)
        findings.add('a problem', f'file {number}')
    findings.add('another', 'here')
    assert check.table(findings).split('\n') == [
        '  WRONG         7  a problem',
        *(f'{" " * 20}file {number}' for number in range(5)),
        f'{" " * 20}...',
        '  WRONG         1  another',
        f'{" " * 20}here',
        '                7  a note',
    ]
    assert check.table(Findings()).strip() == 'nothing was found'


def test_tables_of_curves_show_evaluations_only(capsys):
    def made(count):
        return dict(AP=(np.arange(count) + 0.25, np.arange(count) / 8))

    curves._print_table(dict(a=made(40), b=made(41), c={}), 'AP', 'iterations', 1)
    rows = [line.split('|')[1:4] for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    assert [cell.strip() for cell in rows[0]] == ['run', 'iterations', 'AP'] and len(rows) == 41
    assert [cell.strip() for cell in rows[2]] == ['a', '1.2', '0.1250']
    curves._print_table(dict(b=made(41)), 'AP', 'iterations', 0)
    assert capsys.readouterr().out == ''


def test_config_shows_values_and_their_files(capsys):
    options = ['--only', 'train_cfg', '--cfg-options', 'train_cfg.max_iters=7']
    config.main([CONFIGS['pose'], '--json', *options])
    rows = json.loads(capsys.readouterr().out)
    assert all(key.startswith('train_cfg') for key in rows)
    assert rows['train_cfg.max_iters'] == dict(value=7, file='command line')
    assert rows['train_cfg.type']['file'].endswith('.py')
    config.main([CONFIGS['pose'], '--cfg-options', f'+work_dir={"x" * 200}'])
    lines = capsys.readouterr().out.splitlines()
    long = next(line for line in lines if line.startswith('work_dir = '))
    shown, file = long.split('  # ')
    assert len(shown) == 110 and shown.endswith('xxx...') and file == 'command line'
    assert len({line.index('  # ') for line in lines if '...  #' in line}) == 1


def test_list_of_published_models_shows_what_is_here(tmp_path):
    entry = download.ZOO['sapiens-pose-1b']
    (tmp_path / entry.files('torchscript')[0]).parent.mkdir(parents=True)
    (tmp_path / entry.files('torchscript')[0]).touch()
    table, _, text = download.table(tmp_path).partition('\n\n')
    (header, *rows), about = table.split('\n'), text.split('\n')
    licenses = {entry.licence: None for entry in download.ZOO.values()}
    assert header.split() == ['name', 'task', 'size', 'outputs', 'forms', 'here', 'license', 'published']
    assert len(rows) == len(download.ZOO) and all(
        text.startswith(f'{name}: ') for name, text in zip(licenses, about, strict=True)
    )
    starts = [header.index(word) for word in header.split()]
    row = next(row for row in rows if row.startswith('sapiens-pose-1b '))
    cells = [row[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
    assert cells[:4] == ['sapiens-pose-1b', 'pose', '1b', '308'] and cells[5] == 'torchscript'
    other = next(row for row in rows if row.startswith('sapiens-pretrain-1b '))
    assert other[starts[3] :].split()[0] == '-' and other[starts[5] :].split() == ['-', 'cc-by-nc-4.0', '-']


def test_weights_of_two_files_are_compared_without_prefixes():
    ours = {
        'backbone.a': torch.ones(2),
        'b': torch.zeros(3),
        'c': torch.ones(2),
        'empty': torch.zeros(0),
        'd': torch.ones(1),
    }
    theirs = {
        'a': torch.ones(2),
        'backbone.b': torch.tensor([0, -0.5, 0]),
        'c': torch.ones(3),
        'empty': torch.zeros(0),
    }
    assert verify.compare_weights(ours, theirs) == (3, 1, 0.5)
    assert verify.compare_weights(ours, {}) == (0, 0, 0.0)


def test_samples_are_described():
    data = PoseDataSample(metainfo=dict(ori_shape=(90, 120), crop=(1, 2, 30, 40), flip=True))
    assert browse.describe(data) == ['(1, 2, 30, 40) of 120x90 flipped']
    person = PoseDataSample(metainfo=dict(
        ori_shape=(90, 120), id=7, input_center=np.array([[10.4, 20.6]]), input_scale=np.array([[30, 40]]),
        bbox_rotation=np.array([-12.3])))  # fmt: skip
    assert browse.describe(person) == ['person 7, image of 120x90', '30x40 at 10,21 turned -12']
    person.set_metainfo(dict(bbox_rotation=0, flip=True))
    assert browse.describe(person)[1] == '30x40 at 10,21 flipped'


@pytest.mark.parametrize('text', ['0', '-1', '1.5', 'x', ''])
def test_numbers_of_things_are_positive(text):
    with pytest.raises(render.argparse.ArgumentTypeError, match='whole number, 1 or more'):
        positive(text)
    assert positive('1') == 1 and positive('12') == 12


def test_pairs_of_numbers():
    parse = render._pair('x')
    assert parse('768x1024') == (768, 1024)
    for text in ('768', '768x', 'x1', '-1x3', '1x2x3'):
        with pytest.raises(render.argparse.ArgumentTypeError, match='3x4'):
            parse(text)


def test_workers_of_rendering_are_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(
        render.os, 'sched_getaffinity', lambda process: {0, 5, 6} if process == 0 else {1}, raising=False
    )
    assert build_engine(render.parse_args(['--out', 'x', '--num', '1'])).workers == 3
    assert build_engine(render.parse_args(['--out', 'x', '--num', '1', '--workers', '0'])).workers == 0


def test_scores_take_names_of_a_common_skeleton(monkeypatch, capsys, tmp_path):
    made = []

    class Metric:
        prefix = 'own'

        def __init__(self, *arguments, **options):
            made.append((arguments, options))

        def rescore(self, results):
            return dict(AP=0.25)

    monkeypatch.setattr(score, 'KeypointMetric', Metric)
    needed = ['r.json', '--ann-file', 'a.json', '--skeleton', 'coco17']
    score.main([*needed, '--out', str(tmp_path / 'x.json')])
    score.main(
        [*needed, '--common-with', 'b', '--common-names', 'nose', 'left_eye', '--missing', 'wrong', '--box-area']
    )
    score.main([*needed, '--common-with', 'b', '--common-names', 'wide', '--groups', 'face'])
    assert [arguments for arguments, _ in made] == [('coco17', 'a.json')] * 3
    options = dict(groups=None, common_with=None, common_names='published', missing='skip', use_area=True, prefix=None)
    assert made[0][1] == options
    assert made[1][1] == dict(
        options, common_with='b', common_names=['nose', 'left_eye'], missing='wrong', use_area=False
    )
    assert made[2][1] == dict(options, common_with='b', common_names='wide', groups=['face'])
    assert json.loads((tmp_path / 'x.json').read_text()) == {'own/AP': 0.25}
    assert capsys.readouterr().out == 'own/AP: 0.2500\n' * 3


def test_conversion_refuses_other_endings_and_options_without_a_config(capsys):
    for options, text in (
        (['convert', 'a.pth', 'b.bin'], '.pth or .safetensors'), (['inspect', 'a', '--cfg-options', 'a=1'], 'add --config'),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            convert.parse_args(options)
        assert ended.value.code == 2 and text in capsys.readouterr().err
    assert convert.parse_args(['convert', 'a.pth', 'b.pth']).part == 'all'


def test_interrupted_commands_end_with_130(monkeypatch, capsys):
    def interrupt(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(config, 'main', interrupt)
    assert status_of('config') == 130 and capsys.readouterr().err == 'interrupted\n'
