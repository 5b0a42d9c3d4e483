import json
import os
import signal
from pathlib import Path

import pytest
from mmengine.hooks import Hook

from sapiens.engine import BadDataHook, CheckpointHook, Runner

from .toy import Scores, make_runner


@pytest.fixture(autouse=True)
def no_environment_report(monkeypatch):
    monkeypatch.setattr('sapiens.engine.Runner._log_env', lambda *_: None)


class Send(Hook):
    """Sends signals to this process at a stage."""

    def __init__(self, stage, *numbers):
        def send(runner, *args, **kwargs):
            for number in numbers:
                os.kill(os.getpid(), number)

        setattr(self, stage, send)

    def get_triggered_stages(self):
        return ['after_train_iter', 'after_val_iter']


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]


def test_a_signal_during_validation_stops_after_it(tmp_path):
    before = handlers()
    runner = make_runner(
        tmp_path, hooks=[Send('after_val_iter', signal.SIGUSR1)], scores=(1, 2),
        train_cfg=dict(type='TrainLoop', max_iters=10, val_interval=3)
    )  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        runner.train()
    assert stop.value.code == 128 + signal.SIGUSR1
    assert names(tmp_path) == ['iter_3.pth'] and runner.iter == 3
    assert handlers() == before


def test_a_second_ctrl_c_aborts_without_a_checkpoint(tmp_path):
    before = handlers()
    runner = make_runner(tmp_path, hooks=[Send('after_train_iter', signal.SIGINT, signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert names(tmp_path) == [] and handlers() == before


def test_handlers_are_restored_when_training_fails(tmp_path):
    class Fail(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            assert signal.getsignal(signal.SIGTERM) != before[0]
            raise ArithmeticError

    before = handlers()
    with pytest.raises(ArithmeticError):
        make_runner(tmp_path, hooks=[Fail()]).train()
    assert handlers() == before


def test_a_new_best_is_written_before_the_former_goes(tmp_path, monkeypatch):
    seen = []
    real = Runner.save_checkpoint

    def save(self, out_dir, filename, *args, **kwargs):
        seen.append((filename, names(tmp_path)))
        real(self, out_dir, filename, *args, **kwargs)

    monkeypatch.setattr(Runner, 'save_checkpoint', save)
    checkpoint = dict(type='CheckpointHook', interval=2, by_epoch=False, max_keep_ckpts=1, save_best='toy/loss')
    make_runner(
        tmp_path, scores=(3.0, 2.0, 4.0), default_hooks=dict(checkpoint=checkpoint),
        train_cfg=dict(type='TrainLoop', max_iters=6, val_interval=2)
    ).train()  # fmt: skip
    assert seen == [
        ('iter_2.pth', []),
        ('best_toy_loss_iter_2.pth', ['iter_2.pth']),
        ('iter_2.pth', ['best_toy_loss_iter_2.pth', 'iter_2.pth']),  # again, since it must know the best
        ('iter_4.pth', ['best_toy_loss_iter_2.pth', 'iter_2.pth']),
        ('best_toy_loss_iter_4.pth', ['best_toy_loss_iter_2.pth', 'iter_4.pth']),
        ('iter_4.pth', ['best_toy_loss_iter_2.pth', 'best_toy_loss_iter_4.pth', 'iter_4.pth']),
        ('iter_6.pth', ['best_toy_loss_iter_4.pth', 'iter_4.pth']),
    ]
    assert names(tmp_path) == ['best_toy_loss_iter_4.pth', 'iter_6.pth']


def test_unknown_checkpoint_options_are_refused():
    with pytest.raises(ValueError, match="'max_keep_ckpt'; did you mean 'max_keep_ckpts'"):
        CheckpointHook(max_keep_ckpt=3)


def test_an_unreported_best_metric_is_refused_with_the_path_of_the_run(tmp_path):
    checkpoint = dict(type='CheckpointHook', interval=2, by_epoch=False, save_best='toy/los', rule='less')
    runner = make_runner(
        tmp_path, scores=(3.0, 2.0), default_hooks=dict(checkpoint=checkpoint),
        train_cfg=dict(type='TrainLoop', max_iters=4, val_interval=2)
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=r"save_best='toy/los' is none of the metrics; did you mean 'toy/loss'.*iter_2.pth"
    ):
        runner.train()


def test_a_wrong_best_metric_ends_the_run_before_its_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(Scores, 'names', ('loss',), raising=False)
    for hook in (dict(checkpoint=dict(type='CheckpointHook', save_best='val_loss')), dict()):
        hooks = [] if hook else [dict(type='EarlyStoppingHook', monitor='val_loss')]
        runner = make_runner(tmp_path, scores=(3.0, 2.0), default_hooks=hook, hooks=hooks)
        with pytest.raises(ValueError, match=r"='val_loss' is not among the metrics.* \(reported: toy/loss\)"):
            runner.train()
        assert runner.iter == 0 and not runner.model.seen
    runner = make_runner(tmp_path, default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='val_loss')))
    with pytest.raises(ValueError, match='the run has no validation'):
        runner.train()


def test_the_terminal_line_has_speed_and_memory(tmp_path):
    throughput = dict(throughput=dict(type='ThroughputHook'))
    make_runner(tmp_path, default_hooks=throughput).train()
    log = next(tmp_path.glob('*/*.log')).read_text().splitlines()
    line = next(line for line in reversed(log) if 'Iter(train)' in line)
    for word in ('lr: ', 'eta: ', 'loss: ', 'grad_norm: ', 'images_per_s: ', 'data_share: ', 'memory: '):
        assert word in line, line
    rows = [json.loads(row) for row in next(tmp_path.glob('*/vis_data/scalars.json')).read_text().splitlines()]
    assert len(rows) == 10
    for row in rows:
        assert row['images_per_s'] > 0 and 0 <= row['data_share'] <= 1 and row['memory'] > 50
        # Both come from the same mean, so that two images a step are the rate times the time.
        assert row['images_per_s'] * row['time'] == pytest.approx(2)


def test_bad_data_is_written_down_shown_a_few_times_and_counted(tmp_path):
    hook = BadDataHook(max_share=0.9, interval=2, max_logged=1)
    runner = make_runner(tmp_path, hooks=[hook])  # sample 0 comes first in some batch of both epochs, or second
    runner.train()
    lines = (tmp_path / 'bad_files.txt').read_text().splitlines()
    assert 1 <= hook.bad == len(lines) <= 2 and hook.opened == 20 + hook.bad
    assert set(lines) == {'x\\udcff.png\tit is empty'}  # a name whose bytes are no text
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('skipped: x\\udcff.png: it is empty') == 1


def test_bad_data_counts_of_all_ranks_go_on():
    states = [dict(bad=3, opened=50, new=[('a', 'r')], samples=2), dict(bad=3, opened=50, new=[['b', 'r']], samples=4)]
    first, second = BadDataHook(), BadDataHook()
    for rank, hook in enumerate((first, second)):
        hook.load_state_dict(hook.reshard_state(states, rank))
    assert (first.bad, first.opened, first.new, first.samples) == (3, 50, [('a', 'r'), ('b', 'r')], 6)
    assert (second.bad, second.opened, second.new, second.samples) == (3, 50, [], 0)
    with pytest.raises(ValueError, match='max_share=2'):
        BadDataHook(max_share=2)
