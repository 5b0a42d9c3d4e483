import json
import logging
import math
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from sapiens.engine import BadDataHook, CheckpointHook, IterTimerHook, Runner, StopHook
from sapiens.engine.hooks import bad_data as module
from sapiens.structures import LoaderRecord
from sapiens.utils.files import temporary_path

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


def test_a_third_ctrl_c_is_not_held_back(tmp_path):
    """What cleans up after the second one, such as a hook, may wait for long: the handlers are the former ones at once."""

    class Twice(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            signal.raise_signal(signal.SIGINT)
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                meanwhile.append(handlers())
                raise

    before, meanwhile = handlers(), []
    with pytest.raises(KeyboardInterrupt):
        make_runner(tmp_path, hooks=[Twice()]).train()
    assert meanwhile == [before]


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
    for key, values in dict(
        interval=('x', 1.5), max_keep_ckpts=('x', 1.5), interval_minutes=('x', math.inf, True)
    ).items():
        for value in values:
            with pytest.raises(ValueError, match=f'default_hooks.checkpoint.{key}={value!r}: expected'):
                CheckpointHook(**{key: value})


def test_seconds_of_a_stop_are_a_number():
    for value in (math.nan, math.inf, 'x', None, -1):
        with pytest.raises(ValueError, match=f'default_hooks.stop.seconds={value!r}: expected a finite number'):
            StopHook(value)


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


def test_the_time_left_does_not_count_the_first_step(monkeypatch):
    hook, left, scalars = IterTimerHook(), [], {}
    hub = SimpleNamespace(
        update_scalar=lambda name, value: scalars.update({name: value}),
        get_scalar=lambda name: SimpleNamespace(current=lambda: scalars[name]),
        update_info=lambda name, value: left.append(value),
    )
    runner = SimpleNamespace(message_hub=hub, iter=7, max_iters=11)
    hook.before_train(runner)
    times = [0.0]
    monkeypatch.setattr('mmengine.hooks.iter_timer_hook.time.time', lambda: times[0])
    hook.before_train_epoch(runner)
    for seconds in (60.0, 1.0, 3.0, 2.0):
        hook.before_train_iter(runner, 0)
        times[0] += seconds
        hook.after_train_iter(runner, 0)
        runner.iter += 1
    assert left == [180.0, 2.0, 2.0, 0.0]


def test_bad_data_is_written_down_shown_a_few_times_and_counted(tmp_path):
    hook = BadDataHook(max_share=0.9, interval=2, max_logged=1)
    runner = make_runner(tmp_path, hooks=[hook])  # sample 0 comes first in some batch of both epochs, or second
    runner.train()
    lines = (tmp_path / 'bad_files.txt').read_text().splitlines()
    assert 1 <= hook.bad == len(lines) <= 2 and hook.opened == 20 + hook.bad
    assert set(lines) == {'x\\udcff.png\tit is empty'}  # a name whose bytes are not text
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert log.count('skipped: x\\udcff.png: it is empty') == 1


def bad_data(tmp_path, bad, samples, **options):
    """A hook that has counted some files, and a runner to report to."""
    hook, lines = BadDataHook(**options), []
    hook.new, hook.samples = [(f'{i}.png', 'why') for i in range(bad)], samples
    return hook, SimpleNamespace(work_dir=str(tmp_path), logger=SimpleNamespace(warning=lines.append), lines=lines)


@pytest.mark.parametrize(
    ('bad', 'samples', 'stops'),
    [(1, 98, False), (1, 99, False), (2, 97, False), (2, 98, True), (1, 100, False), (50, 49, False)],
)
def test_more_than_a_hundredth_of_a_hundred_files_stops_the_run(tmp_path, bad, samples, stops):
    hook, runner = bad_data(tmp_path, bad, samples)
    if stops:
        text = (
            r'2 of 100 files could not be used, more than the allowed fraction of 0.01\..*the latest is 1.png \(why\)'
        )
        with pytest.raises(RuntimeError, match=text):
            hook.report(runner)
    else:
        hook.report(runner)
    assert (hook.bad, hook.opened, hook.new, hook.samples) == (bad, bad + samples, [], 0)


def test_twenty_bad_files_are_shown_and_all_are_listed(tmp_path):
    hook, runner = bad_data(tmp_path, 20, 0, min_samples=1000)
    hook.report(runner)
    assert [line.split(':')[0] for line in runner.lines] == [f'Bad file {number} skipped' for number in range(1, 21)]
    hook.new = [('last.png', 'why')]
    runner.lines.clear()
    hook.report(runner)
    assert runner.lines == [f'21 bad files of 21 so far, listed in {tmp_path / "bad_files.txt"}']
    assert (tmp_path / 'bad_files.txt').read_text().splitlines()[-1] == 'last.png\twhy'
    hook.report(runner)
    assert len(runner.lines) == 1, 'nothing new'


def test_a_shard_that_is_missing_is_one_line_and_counts_for_each_sample(tmp_path):
    hook, runner = bad_data(tmp_path, 0, 1000, max_logged=2, max_share=0.5)
    hook.notes = ['a line of a loader']
    for _ in range(2):
        hook.new = 30 * [('3.tar', 'missing')]
        hook.report(runner)
    assert hook.bad == 60 and hook.opened == 1060 and hook.notes == []
    file = tmp_path / 'bad_files.txt'
    assert [line.partition(':')[0] for line in runner.lines] == [
        'a line of a loader', 'Bad file 1 skipped', '30 bad files of 1030 so far, listed in ' + str(file),
        '60 bad files of 1060 so far, listed in ' + str(file),
    ]  # fmt: skip
    assert file.read_text() == 2 * '3.tar\tmissing\n'
    hook.new = [('a.png', 'why'), ('b.png', 'why')]
    hook.report(runner)
    assert runner.lines[4] == 'Bad file 61 skipped: a.png: why' and 'b.png' not in ''.join(runner.lines)


def test_ranks_exchange_names_only_where_there_are_any(tmp_path, monkeypatch):
    hook, runner = bad_data(tmp_path, 0, 100)
    sent = []
    monkeypatch.setattr(module, 'sum_on_hosts', lambda numbers: [2 * number for number in numbers])
    monkeypatch.setattr(module, 'gather_on_hosts', lambda value: sent.append(value) or [value, value])
    runner.logger.info = lambda line: None
    hook.report(runner)
    assert hook.opened == 200 and hook.samples == 0 and not sent
    hook.new_rejected.update(['dark'])
    hook.report(runner)
    assert sent == [([], [], dict(dark=1))] and hook.rejected == dict(dark=2)
    hook.new = [('a', 'b')]
    hook.report(runner)
    assert len(sent) == 2 and (hook.bad, hook.opened) == (2, 202)


def test_bad_data_is_reported_every_ten_iterations_and_at_the_end(tmp_path):
    hook, runner = bad_data(tmp_path, 0, 0)
    runner.train_loop = SimpleNamespace(record=LoaderRecord(bad=[('a', 'b')], samples=3, rejected=['dark']))
    runner.max_iters, reports = 25, []
    hook.report = lambda runner: reports.append(runner.iter)
    for runner.iter in range(25):
        hook.after_train_iter(runner, runner.iter)
    assert reports == [9, 19, 24] and len(hook.new) == 25 and hook.samples == 75
    assert hook.new_rejected == dict(dark=25)
    batch = dict(loader=SimpleNamespace(bad=[('x\udcff', 'empty')]))
    hook.after_val_iter(runner, 0, batch)
    hook.after_val_iter(runner, 0, dict(loader=None))
    assert runner.lines == ['Bad file in evaluation, replaced by another one: x\\udcff: empty']


def test_rejections_are_counted_by_reason_and_logged_when_they_double(tmp_path):
    hook, runner = bad_data(tmp_path, 0, 100)
    said = []
    runner.logger.info = said.append
    for reasons in (['dark'], [], ['empty alpha'] * 2, [], ['dark'], ['dark'] * 3, ['dark']):
        hook.new_rejected.update(reasons)
        hook.report(runner)
    others = 'others were drawn instead'
    assert said == [
        f'Rejected samples so far: 1; {others}: dark (1)',
        f'Rejected samples so far: 3; {others}: empty alpha (2), dark (1)',
        f'Rejected samples so far: 4; {others}: dark (2), empty alpha (2)',
        f'Rejected samples so far: 8; {others}: dark (6), empty alpha (2)',
    ]
    assert not runner.lines
    assert (hook.bad, hook.opened) == (0, 100)


def test_bad_data_counts_of_all_ranks_go_on():
    states = [dict(bad=3, opened=50, new=[('a', 'r')], samples=2), dict(bad=3, opened=50, new=[['b', 'r']], samples=4)]
    states[0] |= dict(rejected=dict(dark=7), new_rejected=dict(dark=1))
    states[1] |= dict(rejected=dict(dark=7), new_rejected=dict(dark=2, flat=1))
    first, second = BadDataHook(), BadDataHook()
    for rank, hook in enumerate((first, second)):
        hook.load_state_dict(hook.reshard_state(states, rank))
    assert (first.bad, first.opened, first.new, first.samples) == (3, 50, [('a', 'r'), ('b', 'r')], 6)
    assert (second.bad, second.opened, second.new, second.samples) == (3, 50, [], 0)
    assert first.rejected == second.rejected == dict(dark=7)
    assert first.new_rejected == dict(dark=3, flat=1) and not second.new_rejected
    old = BadDataHook()
    old.load_state_dict(dict(bad=3, opened=50, new=[], samples=0))  # of an earlier version
    assert old.rejected == {} and old.state_dict()['new_rejected'] == {}
    with pytest.raises(ValueError, match='max_share=2'):
        BadDataHook(max_share=2)


def test_the_last_checkpoint_is_written_however_the_length_is_counted(tmp_path):
    cases = dict(
        inside=(dict(max_iters=3), dict(interval=1, by_epoch=True), ['iter_3.pth']),
        after=(dict(max_iters=7), dict(interval=1, by_epoch=True), ['epoch_1.pth', 'iter_7.pth']),
        at_the_end=(dict(max_iters=10), dict(interval=5, by_epoch=True), ['epoch_2.pth']),
        none_due=(dict(max_iters=7), dict(interval=-1, by_epoch=False), ['iter_7.pth']),
        iterations=(dict(max_epochs=2), dict(interval=4, by_epoch=False), ['iter_10.pth', 'iter_4.pth', 'iter_8.pth']),
        unwanted=(dict(max_iters=7), dict(interval=1, by_epoch=True, save_last=False), ['epoch_1.pth']),
    )
    for name, (length, options, expected) in cases.items():
        runner = make_runner(
            tmp_path / name, train_cfg=dict(type='TrainLoop', **length),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', **options))
        )  # fmt: skip
        runner.train()
        assert names(tmp_path / name) == expected, name
        last = Path((tmp_path / name / 'last_checkpoint').read_text()).name
        state = torch.load(tmp_path / name / last, weights_only=True)
        assert name == 'unwanted' or state['meta']['iter'] == runner.iter


def test_a_run_that_a_hook_ends_early_has_a_last_checkpoint(tmp_path):
    for name, by_epoch in (('epochs', True), ('iterations', False)):
        early = dict(type='EarlyStoppingHook', monitor='toy/loss', patience=1, rule='less')
        length = dict(max_epochs=9) if by_epoch else dict(max_iters=40, val_interval=2)
        checkpoint = dict(type='CheckpointHook', interval=100, by_epoch=by_epoch)
        make_runner(
            tmp_path / name, hooks=[early], scores=(1.0, 2.0, 3.0), train_cfg=dict(type='TrainLoop', **length),
            default_hooks=dict(checkpoint=checkpoint)
        ).train()  # fmt: skip
        assert names(tmp_path / name) == ['epoch_2.pth' if by_epoch else 'iter_4.pth']


def test_a_best_checkpoint_inside_an_epoch_does_not_replace_that_of_an_epoch(tmp_path):
    checkpoint = dict(type='CheckpointHook', interval=1, by_epoch=True, save_best='toy/loss')
    make_runner(
        tmp_path, scores=(3.0, 2.0), default_hooks=dict(checkpoint=checkpoint),
        train_cfg=dict(type='TrainLoop', max_iters=8, val_begin=7, val_interval=7)
    ).train()  # fmt: skip
    found = {path.name: torch.load(path, weights_only=True)['meta']['iter'] for path in tmp_path.glob('[ei]*.pth')}
    assert found == {'epoch_1.pth': 5, 'iter_7.pth': 7, 'iter_8.pth': 8}
    assert [name for name in names(tmp_path) if name.startswith('best')] == ['best_toy_loss_iter_8.pth']


def test_a_copied_work_dir_leaves_the_best_checkpoint_of_the_original(tmp_path):
    checkpoint = dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False, save_best='toy/loss'))
    length = dict(type='TrainLoop', max_iters=2, val_interval=2)
    make_runner(tmp_path / 'a', scores=(3.0,), default_hooks=checkpoint, train_cfg=length).train()
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    before = names(tmp_path / 'a')
    kwargs = dict(default_hooks=checkpoint, train_cfg=dict(length, max_iters=4), resume=True)
    runner = make_runner(tmp_path / 'b', scores=(2.0,), **kwargs)
    runner.train()
    assert names(tmp_path / 'a') == before == ['best_toy_loss_iter_2.pth', 'iter_2.pth']
    assert names(tmp_path / 'b') == ['best_toy_loss_iter_4.pth', 'iter_2.pth', 'iter_4.pth']
    assert runner.message_hub.get_info('best_ckpt') == str(tmp_path / 'b' / 'best_toy_loss_iter_4.pth')


def test_options_without_an_effect_are_refused():
    for option in (dict(filename_tmpl='step_{}.pth'), dict(backend_args=dict(backend='petrel'))):
        with pytest.raises(ValueError, match=f'{next(iter(option))}=.* has no effect: .*'):
            CheckpointHook(**option)


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    leftover = temporary_path(tmp_path / 'iter_4.pth')
    leftover.write_bytes(b'half')
    (tmp_path / '.notes.tmp').touch()
    checkpoint = dict(checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False))
    make_runner(tmp_path, default_hooks=checkpoint).train()
    assert not leftover.exists() and (tmp_path / '.notes.tmp').exists()


def test_the_log_counts_its_interval_over_epochs(tmp_path):
    for ignore_last, expected in ((True, [7, 14, 17]), (False, [5, 7, 10, 14, 15, 17])):
        folder = tmp_path / str(ignore_last)
        log = dict(logger=dict(type='LoggerHook', interval=7, ignore_last=ignore_last))
        make_runner(
            folder, default_hooks=log, train_cfg=dict(type='TrainLoop', max_iters=17)
        ).train()  # epochs of five
        rows = [json.loads(row) for row in next(folder.glob('*/vis_data/scalars.json')).read_text().splitlines()]
        assert [row['step'] for row in rows] == expected
        assert next(folder.glob('*/*.log')).read_text().count('Iter(train)') == len(expected)


def test_a_run_goes_on_without_the_reader_of_its_output(tmp_path):
    class Close(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter == 1:
                os.close(reader)
            os.write(1, b'a line\n') if runner.iter != 1 else self.write_to_nobody()

        def write_to_nobody(self):
            with pytest.raises(BrokenPipeError):
                os.write(1, b'a line\n')

    kept, before = os.dup(1), signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as commands set it
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(writer)
    try:
        make_runner(tmp_path, hooks=[Close()]).train()
        assert signal.getsignal(signal.SIGPIPE) == signal.SIG_DFL and logging.raiseExceptions
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        signal.signal(signal.SIGPIPE, before)
    assert names(tmp_path) == ['epoch_1.pth', 'epoch_2.pth']
