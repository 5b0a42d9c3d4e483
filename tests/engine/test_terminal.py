"""What a run shows on the terminal, and what its log file keeps."""

import json
import re
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from sapiens.engine import LoggerHook, TrainLoop
from sapiens.engine.run_lines import metric_table, progress_line, show_bytes, show_seconds, training_line
from sapiens.engine.start_report import describe_options
from sapiens.utils.terminal import TIMED_WIDTH, VARIABLE, WIDTH, log_brief

from .toy import make_runner

VALUES = dict(
    base_lr=2.108e-05, lr=2.8e-06, data_time=0.106, grad_norm=3.5934, loss=0.3290394, loss_aligned=0.2163, loss_silog=0.11268,
    time=0.4377, images_per_s=9.1395, data_share=0.2421, memory=533, iter=5,
)  # fmt: skip


def test_the_line_of_a_step():
    assert training_line(VALUES, 5, 20, 6.4) == (
        'step  5/20  eta 6s  loss 0.3290 (aligned 0.216, silog 0.113)  lr 2.1e-05  9.14 img/s  533 MiB  wait 24%  …'
    )
    assert training_line(dict(loss=2.0, lr=1e-3), 5, 20, None, '2/4') == (
        'epoch 2/4  step  5/20  loss 2.0000  lr 1.0e-03'
    )
    assert training_line(dict(VALUES, memory=40_000, loss=12_345.0), 70_000, 100_000, 3 * 86_400 + 7_300) == (
        'step  70000/100000  eta 3d02h  loss 1.23e+04 (aligned 0.216, …)  lr 2.1e-05  9.14 img/s  39.1 GiB  wait 24%  …'
    )


def test_a_full_line_says_that_values_are_left_out():
    values = dict(VALUES, memory=40_000, grad_norm=3.5) | {'pose_acc_of_all_tasks': 0.5}
    line = training_line(values, 70_000, 100_000, 86_400)
    assert line.endswith('  wait 24%  …') and 'gradient' not in line


def test_losses_of_several_tasks_are_summed_by_task():
    values = dict(loss=8.0, pose_loss_heatmap=2.0, normal_loss_l1=1.0, normal_loss_cosine=5.0, pose_acc=0.5)
    assert training_line(values, 1, 2, None) == 'step 1/2  loss 8.0000 (pose 2.00, normal 6.00)  pose_acc 0.500'
    # The one loss of a task has no name of its own: pose of Sapiens2.
    values = dict(loss=8.0, pose_loss=2.0, normal_loss_l1=1.0, normal_loss_cosine=5.0)
    assert training_line(values, 1, 2, None) == 'step 1/2  loss 8.0000 (pose 2.00, normal 6.00)'


@pytest.mark.parametrize('parts', range(0, 12, 3))
@pytest.mark.parametrize('others', range(0, 12, 3))
def test_the_line_of_a_step_fits_however_many_values_there_are(parts, others):
    values = VALUES | {f'loss_{"x" * index}{index}': index / 7 for index in range(parts)}
    values |= {f'pose_acc_{index}': index / 7 for index in range(others)}
    line = training_line(values, 99_999, 100_000, 86_399, '199/200')
    assert len(line) <= TIMED_WIDTH
    assert all(word in line for word in ('step', 'eta', 'loss 0.3290', 'lr', 'img/s', 'MiB', 'wait'))


@pytest.mark.parametrize(
    ('seconds', 'text'), [(-1, '0s'), (59.6, '1m00s'), (725, '12m05s'), (18_720, '5h12m'), (183_600, '2d03h')]
)
def test_times(seconds, text):
    assert show_seconds(seconds) == text


def test_memory_has_a_unit():
    assert [show_bytes(1023), show_bytes(1024), show_bytes(81_920)] == ['1023 MiB', '1.0 GiB', '80.0 GiB']


def test_the_table_of_an_evaluation():
    metrics = {
        'depth/AbsRel': 0.0727,
        'depth/RMSE': 0.18,
        'depth/delta1': 0.95589,
        'val_loss': 0.26942,
        'seg/mIoU': 0.5,
    }
    best = dict(metrics) | {'depth/delta1': 0.96}
    assert metric_table('validation at step 20: 16 samples in 1.4 s', metrics, best).splitlines() == [
        'validation at step 20: 16 samples in 1.4 s',
        '  depth          AbsRel    RMSE  delta1  val_loss',
        '                 0.0727  0.1800  0.9559    0.2694',
        '  better before                  0.9600',
        '  seg              mIoU',
        '                 0.5000',
    ]
    assert metric_table('t', {'a/b': 1.0}).splitlines() == ['t', '  a                   b', '                 1.0000']
    assert metric_table('t', {}) == 't'
    many = metric_table('t', {f'pose/metric_{index}': 0.5 for index in range(30)})
    assert max(map(len, many.splitlines())) <= TIMED_WIDTH and many.count('0.5000') == 30


def test_the_progress_of_an_evaluation():
    assert progress_line('test', 10, 1000, 62) == 'test  batch   10/1000  eta 1m02s'


@pytest.fixture
def shown(tmp_path, capsys, monkeypatch):
    """Train a runner in a folder and return (lines on the terminal, text of the log file)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)

    def train(**options):
        (tmp_path / 'toy.py').write_text('number = 3')
        options['cfg'] = Config.fromfile(tmp_path / 'toy.py')
        throughput = dict(throughput=dict(type='ThroughputHook'))
        loop = dict(type='TrainLoop', max_iters=2, val_interval=2)
        make_runner(tmp_path / 'work', default_hooks=throughput, train_cfg=loop, scores=(3.0, 2.0), **options).train()
        (log,) = (tmp_path / 'work').glob('*/*.log')
        return capsys.readouterr().out.splitlines(), log.read_text()

    return train


def plain(line):
    """A line with fixed numbers where those of a machine are."""
    line = re.sub(r'\d{8}_\d{6}', 'DATE', re.sub(r'^\d\d:\d\d:\d\d', 'TIME', line))
    line = re.sub(r'CPU, \d+ threads?|NVIDIA.*', 'DEVICE', line).replace(' GiB', ' MiB')
    return re.sub(r'\S+(?= img/s| MiB|%| s$)|(?<=eta |oss )\S+|(?<=ent )\S+', 'N', line)


def test_the_start_is_ten_lines(shown, tmp_path):
    lines, _ = shown()
    assert [plain(line) for line in lines] == [
        'config      toy.py',
        'device      DEVICE',
        'model       Linear, 20 parameters',
        'train       Numbers(10 samples)',
        'val         Numbers(10 samples)',
        'batch       2 images, 0 workers reading',
        'steps       2 (5 per epoch), validation after every 2 steps',
        'optimizer   AdamW, learning rate 0.1, weight decay 0.1',
        'log         work/DATE/DATE.log',
        'weights     random',
        'TIME  step 1/2  eta N  loss N  lr 1.0e-01  N img/s  N MiB  wait N%  gradient N',
        'TIME  step 2/2  eta N  loss N  lr 1.0e-01  N img/s  N MiB  wait N%  gradient N',
        'TIME  saving work/iter_2.pth',
        'TIME  validation at step 2: 10 samples in N s',
        '  toy              loss',
        '                 3.0000',
    ]
    assert max(map(len, lines)) <= WIDTH


def test_the_start_shows_options_that_are_not_the_default():
    cfg = Config(dict(activation_checkpointing='off', default_hooks=dict(checkpoint=dict(format='auto'))))
    assert describe_options(cfg) == describe_options(Config({})) == ''
    cfg = Config(
        dict(
            activation_checkpointing=dict(backbone='all'),
            optim_wrapper=dict(state_dtype='bf16'),
            default_hooks=dict(checkpoint=dict(format='folder')),
            env_cfg=dict(matmul_precision='high'),
        )
    )
    assert describe_options(cfg).split(', ') == [
        'activation_checkpointing.backbone=all',
        'optim_wrapper.state_dtype=bf16',
        'default_hooks.checkpoint.format=folder',
        'env_cfg.matmul_precision=high',
    ]


def test_the_log_file_keeps_everything(shown, tmp_path):
    _, log = shown()
    for text in (
        'System environment:',
        'Config:\nnumber',
        'Hooks will be executed',
        'Parameter groups:',
        'Exp name: toy',
    ):
        assert log.count(text) == 1, text
    for text in (
        'Iter(train) [1/2]  ',
        'lr: 1.0000e-01',
        'eta: ',
        'time: ',
        'data_time: ',
        'grad_norm: ',
        'images_per_s: ',
        'memory: ',
    ):
        assert text in log
    assert re.search(r'Iter\(val\) \[5/5\] +toy/loss: 3\.0000  data_time: ', log)
    (curves,) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in curves.read_text().splitlines()]
    assert [sorted(row) for row in rows] == [
        [
            *[
                'base_lr',
                'data_share',
                'data_time',
                'grad_norm',
                'images_per_s',
                'iter',
                'loss',
                'lr',
                'memory',
                'step',
                'time',
            ]
        ]
    ] * 2 + [['data_time', 'step', 'time', 'toy/loss']]


def test_verbose_shows_everything(shown, monkeypatch):
    monkeypatch.setenv(VARIABLE, '1')
    lines, log = shown()
    text = '\n'.join(lines)
    assert 'System environment:' in text and 'Hooks will be executed' in text and 'Iter(train) [1/2]' in text
    assert text.count('Iter(train)') == log.count('Iter(train)') == 2


def test_warnings_and_addressed_lines_are_shown_before_the_start(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    runner = make_runner(tmp_path)
    runner.logger.info('not here')
    runner.logger.warning('careful')
    log_brief('a long text', 'a short one', runner.logger, timed=False)
    log_brief('for the file', '', runner.logger)
    runner.terminal.is_quiet = False
    runner.logger.info('here')
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r'^[\d:]{8}  ', 'TIME  ', line) for line in lines] == [
        'TIME  warning: careful',
        'a short one',
        'TIME  here',
    ]
    (log,) = tmp_path.glob('*/*.log')
    for text in ('not here', 'careful', 'a long text', 'for the file', 'here'):
        assert text in log.read_text()


class Counted:
    def __init__(self, length):
        self.length, self.dataset = length, range(length)

    def __len__(self):
        return self.length


@pytest.mark.parametrize(
    ('batches', 'training', 'lines'), [(9, True, 0), (10, True, 3), (1000, True, 3), (24, False, 0), (1000, False, 9)]
)
def test_an_evaluation_shows_a_few_lines_of_progress(batches, training, lines, capsys):
    hook, shown = LoggerHook(interval=10**6), []
    processor = SimpleNamespace(get_log_after_iter=lambda runner, index, split: ({}, 'all'))
    runner = SimpleNamespace(
        _train_loop=object.__new__(TrainLoop) if training else None, log_processor=processor,
        message_hub=SimpleNamespace(get_info=lambda name: 5.0), val_dataloader=Counted(batches),
        logger=SimpleNamespace(info=lambda text, extra: shown.append(extra['brief'])),
    )  # fmt: skip
    for index in range(batches):
        hook.after_val_iter(runner, index)
    assert len(shown) == lines and all(line.startswith('validation  batch ') for line in shown)
