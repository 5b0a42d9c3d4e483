"""What is made of runs: statistics, verdicts, tables, figures, differences, cost, and what may be removed."""

import json
import math
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from sapiens.studies import cost
from sapiens.studies.clean import remove, superfluous
from sapiens.studies.compare import compare
from sapiens.studies.figure import _draw_curves, bands, draw_study, write_hparams
from sapiens.studies.results import collect, paired_difference, with_spread
from sapiens.studies.runner import run_plan
from sapiens.studies.state import read_record
from sapiens.studies.study import Metric
from sapiens.studies.table import as_csv, as_json, as_markdown, insert

from .toy import CHAIN, PROGRAM, RATE, STUDY, places, plan_of


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    """A study of two variants and two seeds whose runs are done; its folder."""
    folder = tmp_path_factory.mktemp('done')
    run_plan(plan_of(folder), places(2), PROGRAM, report=lambda text: None)
    return folder


def test_paired_difference_by_students_t():
    found = paired_difference({0: 3.0, 1: 5.0, 2: 4.0, 7: 100.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    # Differences 2, 3, 1: deviation 1; t of 2 degrees of freedom is 4.302653.
    assert found.mean == 2.0 and found.seeds == 3
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert paired_difference({0: 3.0}, {0: 1.0}) == paired_difference({0: 3.0, 1: 1.0}, {0: 1.0})
    assert paired_difference({0: 3.0}, {0: 1.0}).half is None and paired_difference({}, {}).seeds == 0


def test_verdicts(done):
    text = STUDY.replace(
        "['decay-1.0.AP > decay-0.5.AP']",
        "['decay-1.0.AP > decay-0.5.AP', 'decay-1.0.AP < decay-0.5.AP', 'decay-1.0.AP > 1', 'decay-0.5.AP > 1.2']",
    )
    assert [one.verdict for one in collect(plan_of(done, text)).verdicts()] == [
        'confirmed',
        'contradicted',
        'not resolved',
        'contradicted',
    ]
    (one, *_) = collect(plan_of(done, f'{STUDY}\nseeds = [0]\n')).verdicts()
    assert one.verdict == 'not resolved' and 'one seed, which has no interval' in one.reason


def test_markdown_has_numbers_links_and_warnings(done, monkeypatch):
    results = collect(plan_of(done))
    text = as_markdown(results, {'decay-1.0': (1000, 2_500_000_000)}, done)
    value = np.mean([results.values['AP', 'decay-1.0', seed] for seed in (0, 1)])
    assert f'| {value:.4f} ± ' in text and '| 1,000 | 2.50 |' in text
    assert '[log](runs/toy/decay-0.5/train-seed1/log.txt)' in text
    assert '[iter_3.pth](runs/toy/decay-0.5/train-seed1/iter_3.pth)' in text
    assert '`decay-1.0.AP > decay-0.5.AP` | confirmed' in text
    record = read_record(results.plan.runs[0].folder)
    record.commit = 40 * '0'
    record.write(results.plan.runs[0].folder)
    assert 'its runs are of 2 commits (0000000000' in as_markdown(collect(plan_of(done)))


def test_csv_and_json_have_a_row_for_each_variant_and_seed(done):
    results = collect(plan_of(done))
    header, *lines = as_csv(results).splitlines()
    assert header.startswith('variant,seed,state,error,AP,val_loss,seconds') and len(lines) == 4
    content = json.loads(as_json(results))
    assert content['rows'][0]['AP'] == results.values['AP', 'decay-1.0', 0]
    difference = content['variants']['decay-0.5']['AP']['difference']
    assert difference['mean'] == pytest.approx(-0.5, abs=0.02) and difference['seeds'] == 2


def test_a_metric_may_have_the_name_of_a_column(done):
    plan = plan_of(done)
    plan.study = replace(plan.study, metrics=(Metric('memory', 'lower'), Metric('AP', 'higher')), checks=())
    results = collect(plan)
    results.values['memory', 'decay-1.0', 0] = 7.0
    header, first, *_ = as_csv(results).splitlines()
    columns = header.split(',')
    assert len(columns) == len(set(columns)) and first.split(',')[columns.index('memory')] == '7.0'


def test_a_failed_run_is_a_row_with_its_error(tmp_path):
    plan = plan_of(tmp_path, STUDY.replace('(1.0, 0.5)', '(0.14, 0.5)').replace('decay-1.0.AP', 'decay-0.14.AP'))
    run_plan(plan, places(2), PROGRAM, report=lambda text: None)
    text = as_markdown(collect(plan))
    assert '| decay-0.14 | train | 0 | failed: out of memory |' in text and '0 of 2' in text
    assert '| open | no seed has all of its results' in text


def test_a_table_goes_between_markers(tmp_path):
    file = tmp_path / 'log.md'
    file.write_text('before\n<!-- begin of ablation a/b -->\nold\n<!-- end of ablation a/b -->\nafter\n')
    insert('| new |', file, 'a/b')
    insert('| new |', file, 'a/b')
    assert file.read_text() == (
        'before\n<!-- begin of ablation a/b -->\n\n| new |\n\n<!-- end of ablation a/b -->\nafter\n'
    )
    with pytest.raises(ValueError, match='has no such markers'):
        insert('', file, 'c')


def test_bands_and_figure(done, tmp_path):
    results = collect(plan_of(done))
    steps, mean, spread = bands(results, 'loss', 'decay-1.0')
    assert steps.tolist() == [1, 2, 3] and mean.tolist() == [1, 1 / 2, 1 / 3] and not spread.any()
    _, mean, spread = bands(results, 'AP', 'decay-0.5')
    values = list(results.of('AP', 'decay-0.5').values())
    assert mean == pytest.approx([np.mean(values)]) and spread == pytest.approx([np.std(values, ddof=1)])
    assert bands(results, 'AP', 'another')[0].size == 0
    draw_study(results, tmp_path / 'figures/study.png')
    assert (tmp_path / 'figures/study.png').stat().st_size > 10_000


def test_panels_without_a_curve_are_empty(done):
    results = collect(plan_of(done))
    panel, empty = Figure().subplots(2)
    colors = [(0, 0, 1), (1, 0, 0)]
    _draw_curves(results, 'AP', panel, colors)
    _draw_curves(results, 'nothing', empty, colors)
    assert [line.get_label() for line in panel.lines] == ['decay-1.0', 'decay-0.5'] and panel.axison
    assert [line.get_color() for line in panel.lines] == colors and not empty.axison


def test_hparams_of_tensorboard(done, tmp_path):
    event_accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    results = collect(plan_of(done))
    write_hparams(results, tmp_path / 'hparams')
    found = event_accumulator.EventAccumulator(str(tmp_path / 'hparams/decay-0.5-seed1'))
    found.Reload()
    assert found.Scalars('AP')[0].value == pytest.approx(results.values['AP', 'decay-0.5', 1])
    content = found.summary_metadata['_hparams_/session_start_info'].plugin_data.content
    assert f'train:{RATE}'.encode() in content


def test_difference_of_two_variants(done, tmp_path):
    assert compare(plan_of(done), 'decay-1.0', 'decay-0.5')[0] == ('train', RATE, 1.0, 0.5)
    rows = compare(plan_of(tmp_path, CHAIN), 'decay-1.0', 'scratch')
    assert ('pretrain', 'runs', 'yes', 'no') in rows
    assert ('pose', 'starts from', 'decay-1.0/pretrain-seed0', 'none') in rows
    with pytest.raises(ValueError, match="no variant 'decay-2'"):
        compare(plan_of(done), 'decay-1.0', 'decay-2')


def test_what_may_be_removed(tmp_path):
    plan = plan_of(tmp_path, CHAIN)
    run_plan(plan, places(2), PROGRAM, report=lambda text: None)
    assert list(superfluous(plan)) == []
    names = {path.relative_to(plan.folder).as_posix() for path in superfluous(plan, checkpoints=True)}
    assert 'decay-0.5/pose-seed0/iter_3.pth' in names and len(names) == 4 * 3
    open_tests = plan_of(tmp_path, f"{CHAIN}\nchain[2]['options'] = {{'test_dataloader.batch_size': 7}}\n")
    kept = {path.parent.parent.name for path in superfluous(open_tests, checkpoints=True)}
    assert kept == {'decay-1.0'}  # those of the pretraining: no open stage starts from it
    smaller = plan_of(tmp_path, CHAIN.replace("dict(name='scratch', options={'pose:load_from': None}),", ''))
    gone = list(superfluous(smaller))
    assert [path.name for path in gone] == ['pose-seed0', 'test-seed0'] and {path.parent.name for path in gone} == {
        'scratch'
    }
    (tmp_path / 'runs/toy/scratch/notes.txt').write_text('mine')
    assert sum(map(remove, gone)) > 0
    assert [path.name for path in (tmp_path / 'runs/toy/scratch').iterdir()] == ['notes.txt']


def test_cost_of_a_trial_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv('STUB_STEPS', '5')
    plan = plan_of(tmp_path, STUDY)
    costs = cost.cost_of_plan(plan, tmp_path / 'costs', places(), program=PROGRAM)
    assert {one.step_seconds for one in costs.values()} == {0.25} and len(costs) == 4
    assert all(5000 * 0.25 <= one.seconds < 5000 * 0.25 + 60 for one in costs.values())
    (file,) = (tmp_path / 'costs').iterdir()  # one model, one trial
    file.write_text(file.read_text().replace('0.25', '0.5'))
    again = cost.cost_of_plan(plan_of(tmp_path), tmp_path / 'costs', places(), program=PROGRAM)
    assert {one.step_seconds for one in again.values()} == {0.5}
    run_plan(plan_of(tmp_path, only='decay-0.5'), places(2), PROGRAM, report=lambda text: None)
    costs = cost.cost_of_plan(plan, tmp_path / 'costs', places(), program=PROGRAM)
    assert {one.source for one in costs.values()} == {'runs'} and len(costs) == 2


def test_cost_without_data_says_why(tmp_path):
    plan = plan_of(tmp_path, STUDY.replace('(1.0, 0.5)', '(0.13,)').replace("['decay-1.0.AP > decay-0.5.AP']", '[]'))
    costs = cost.cost_of_plan(plan, tmp_path / 'costs', places(), program=PROGRAM)
    assert {one.source for one in costs.values()} == {'no trial: RuntimeError: the loss is wrong'}
    assert {one.source for one in cost.cost_of_plan(plan, tmp_path, places(), try_steps=False).values()} == {
        'not tried'
    }


def test_cost_on_gpus_is_estimated(tmp_path):
    plan = plan_of(tmp_path, only='decay-1.0')
    costs = list(cost.cost_of_plan(plan, tmp_path / 'costs', places(), gpu='H100').values())
    assert costs[0].source == 'estimate' and costs[0].seconds == pytest.approx(5000 * costs[0].step_seconds)
    costs = cost.cost_of_plan(plan, tmp_path / 'none', places(), gpu='H0')
    assert {one.source for one in costs.values()} == {"no estimate: no peak rate of 'H0' is known"}


def test_disk(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, only='decay-1.0')
    sizes = cost.model_sizes(plan, tmp_path / 'costs')
    parameters, operations = sizes[plan.runs[0].hash]
    assert parameters > 1_000_000 and operations > 1e8
    # Three are kept, a fourth is written before one goes: weights, two states, an average.
    assert cost.checkpoint_bytes(plan.runs[0], 1000) == 4 * 1000 * 4 * 4
    needed = cost.disk_bytes(plan, sizes)
    assert needed == 2 * cost.checkpoint_bytes(plan.runs[0], parameters)
    cost.check_disk(plan, needed)
    monkeypatch.setattr('shutil.disk_usage', lambda place: namedtuple('Usage', 'free')(needed - 1))
    with pytest.raises(ValueError, match=r'toy.py: checkpoints of its runs take up to .* free: keep fewer'):
        cost.check_disk(plan, needed)


def test_numbers_have_the_digits_of_their_spread():
    assert with_spread(6.643061697, 0.00019160) == '6.64306 ± 0.00019'
    assert with_spread(0.0001203418, 0.00029688, '+') == '+0.00012 ± 0.00030'
    assert with_spread(123.456, 12.3) == '123 ± 12' and with_spread(0.5, 0.0) == '0.5 ± 0'
    assert with_spread(1234.5, 200.0) == '1234 ± 2e+02' and with_spread(1e-9, 2e-10, '+') == '+1e-09 ± 2e-10'


def test_a_metric_of_several_stages_is_that_of_the_last_one(tmp_path):
    plan = plan_of(tmp_path, CHAIN.replace("'test:AP'", "'AP'"))
    run_plan(plan, places(2), PROGRAM, report=lambda text: None)
    tested = {variant: collect(plan).values['AP', variant, 0] for variant in ('decay-1.0', 'scratch')}
    assert tested['scratch'] == collect(plan).values['pose:AP', 'scratch', 0] / 2
    scratch = next(run for run in plan.runs if run.name == 'scratch/test-seed0')
    replace(read_record(scratch.folder), state='failed').write(scratch.folder)
    found = collect(plan).values
    assert ('AP', 'scratch', 0) not in found and found['AP', 'decay-1.0', 0] == tested['decay-1.0']
    assert ('pose:AP', 'scratch', 0) in found


def test_a_metric_that_is_not_finite_is_noted(tmp_path):
    plan = plan_of(tmp_path, only='decay-1.0')
    run_plan(plan, places(2), PROGRAM, report=lambda text: None)
    record = read_record(plan.runs[1].folder)
    record.metrics['coco/AP'] = math.nan
    record.write(plan.runs[1].folder)
    results = collect(plan)
    assert 'Note: no finite AP of decay-1.0 (seed 1), whose runs are done.' in as_markdown(results)
    assert json.loads(as_json(results))['variants']['decay-1.0']['AP']['deviation'] is None
