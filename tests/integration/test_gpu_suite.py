"""The suite of measurements on a GPU: the order of its cases, its budget, its failures, its tables, and all of it on a CPU."""

import argparse
import importlib
import json
import multiprocessing
import os
import time
from dataclasses import dataclass, replace

import pytest
import torch

from ..scripts import run

FORKED = multiprocessing.get_context('fork')


@pytest.fixture
def tool(monkeypatch):
    """Imports a file of tools/benchmark."""
    monkeypatch.syspath_prepend('tools/benchmark')
    return importlib.import_module


@dataclass(frozen=True)
class Stub:
    name: str
    batch: int = 4
    lane: str = 'device'


def stub_work(case):
    if case.name.startswith('sleep'):
        time.sleep(60)
    if case.name == 'big' and case.batch > 1:
        raise torch.OutOfMemoryError('CUDA out of memory')
    if case.name == 'huge':
        raise torch.OutOfMemoryError('CUDA out of memory')
    if case.name == 'killed':
        os._exit(9)
    if case.name == 'wrong':
        raise ValueError('a mistake')
    if case.name == 'absent':
        raise ModuleNotFoundError(name='mmpretrain')
    return dict(batch=case.batch)


def run_stubs(tool, names, path=None, seconds=60.0, keep=False, **options):
    lanes = tool('gpu_lanes')
    results = lanes.Results(path, keep)
    told = []
    cases = [name if isinstance(name, Stub) else Stub(name) for name in names]
    end = time.monotonic() + seconds
    lanes.run_cases(cases, stub_work, results, end, FORKED, least=0, tell=told.append, **options)
    return results.rows, told


def test_what_must_be_had_comes_first(tool):
    cases = tool('gpu_cases').suite_cases()
    on_device = [case for case in cases if case.lane == 'device']
    assert [case.name for case in on_device[:8]] == [
        f'step/{recipe}/1b/{mode}'
        for recipe in ('MAE 0.95', 'pose 308', 'segmentation', 'normals')
        for mode in ('eager', 'compile')
    ]
    first_pair = next(index for index, case in enumerate(on_device) if case.kind == 'pair')
    assert first_pair <= 10 and on_device[first_pair].opponent == 'mmpretrain'
    assert len({case.name for case in cases}) == len(cases)
    steps = {(case.recipe, case.size, case.mode) for case in cases if case.kind == 'step'}
    recipes = tool('gpu_cases').RECIPES
    assert steps == {(r, size, mode) for r in recipes for size in recipes[r].batch for mode in tool('gpu_cases').MODES}
    assert {case.opponent for case in cases if case.opponent} == set(tool('gpu_opponents').OPPONENTS)


def watched(register, devices):
    def register_parameter(module, name, value):
        devices.update([] if value is None else [value.device.type])
        register(module, name, value)

    return register_parameter


def test_models_of_the_suite_can_be_built(tool, tmp_path, monkeypatch):
    cases, step = tool('gpu_cases'), tool('gpu_step')
    steps = [case for case in cases.suite_cases() if case.kind == 'step']
    devices = set()
    monkeypatch.setattr(step.nn.Module, 'register_parameter', watched(step.nn.Module.register_parameter, devices))
    for case in steps:
        if case.mode in ('eager', 'compile + checkpointing'):
            cfg = step.config_of(case, str(tmp_path))
            assert cfg.get('compile', False) == (case.mode != 'eager') and cfg.optim_wrapper.precision == 'bf16'
        if case.mode == 'eager':
            model = step.build_model(cfg.model, 'meta')
            assert devices == {'meta'}  # not built on the host first, which takes minutes
            assert (case.size == '1b') == (sum(value.numel() for value in model.parameters()) > 1e9)


def test_a_smoke_test_has_each_recipe_mode_opponent_and_kind(tool):
    whole = tool('gpu_cases').suite_cases()
    tiny = tool('gpu_cases').smallest(whole)
    for name in ('recipe', 'mode', 'opponent', 'kind'):
        assert {getattr(case, name) for case in tiny} == {getattr(case, name) for case in whole}


def test_failures_do_not_end_the_suite(tool):
    names = ['big', 'huge', 'killed', 'wrong', 'absent', 'good']
    rows, told = run_stubs(tool, names)
    assert {name: row['state'] for name, row in rows.items()} == dict(
        big='done', huge='memory', killed='failed', wrong='failed', absent='missing', good='done'
    )
    assert rows['big']['batch'] == 1 and rows['big']['values'] == dict(batch=1)
    assert rows['huge']['batch'] == 1 and rows['good']['batch'] == 4
    assert rows['killed']['error'] == 'the process ended with status 9'
    assert (
        rows['wrong']['error'] == 'ValueError: a mistake' and rows['absent']['error'] == 'mmpretrain is not installed'
    )
    assert any('out of memory with 4 images, again with 2' in text for text in told)


def test_a_case_that_takes_too_long_ends(tool):
    rows, _ = run_stubs(tool, ['sleep', 'good'], limit=0.5)
    assert rows['sleep']['state'] == 'failed' and rows['sleep']['error'].startswith('took longer')
    assert rows['good']['state'] == 'done'


def test_the_budget_ends_the_suite_and_a_resume_continues(tool, tmp_path):
    path = tmp_path / 'results.jsonl'
    begin = time.monotonic()
    rows, _ = run_stubs(tool, ['good', 'sleep', 'after'], path, seconds=1.0)
    assert time.monotonic() - begin < 30  # not the 60 s of the case
    assert {name: row['state'] for name, row in rows.items()} == dict(good='done', sleep='stopped')
    with pytest.raises(FileExistsError, match='--resume'):
        tool('gpu_lanes').Results(path, keep=False)
    with open(path, 'a') as file:
        file.write('{"case": "cut')  # as after a crash
    # Enough for the case before the one that is stopped, on a busy machine too.
    rows, told = run_stubs(tool, ['good', 'after', 'sleep'], path, seconds=3.0, keep=True)
    assert rows['after']['state'] == 'done' and not any(text.startswith('good') for text in told)
    lines = [line for line in path.read_text().splitlines() if 'cut' not in line]
    assert [json.loads(line)['case'] for line in lines] == ['good', 'sleep', 'after', 'sleep']
    assert set(tool('gpu_lanes').Results(path, keep=True).rows) == {'good', 'sleep', 'after'}


def test_the_host_works_next_to_the_device(tool):
    rows, _ = run_stubs(tool, ['sleep', Stub('quick', lane='host')], seconds=2.0)
    assert rows['quick']['state'] == 'done' and rows['sleep']['state'] == 'stopped'


def test_largest_batch(tool):
    largest, later = tool('gpu_clock').largest, time.monotonic() + 60
    for most in (0, 1, 2, 3, 7, 8, 21):
        assert largest(lambda count, most=most: count <= most, 64, later) == (most, True)
    assert largest(lambda count: True, 5, later) == (4, False)
    assert largest(lambda count: True, 64, time.monotonic() - 1) == (0, False)


def test_time_without_work(tool, tmp_path):
    clock = tool('gpu_clock')
    assert clock.union([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4

    class Trace:
        def export_chrome_trace(self, path):
            spans = [('kernel', 0, 2), ('gpu_memcpy', 1, 2), ('gpu_user_annotation', 0, 10), ('kernel', 8, 2)]
            events = [dict(cat=cat, ts=begin, dur=length) for cat, begin, length in spans]
            with open(path, 'w') as file:
                json.dump(dict(traceEvents=[*events, dict(ph='M')]), file)

    assert clock.idle_fraction(Trace(), 'cuda') == pytest.approx(0.5)
    assert clock.idle_fraction(Trace(), 'cpu') is None


def test_turns_alternate(tool):
    order = []
    sides = dict(a=lambda: order.append('a'), b=lambda: order.append('b'))
    found = tool('gpu_clock').take_turns(sides, 'cpu', turns=2, steps=1)
    assert ''.join(order) == 'bbaa' + 'ab' + 'ba' and [len(side['ms']) for side in found.values()] == [2, 2]


def test_tables(tool):
    table, Case = tool('gpu_table'), tool('gpu_cases').Case
    step = Case('step', 'MAE 0.75', '1b', 'compile', batch=16)
    sharded = Case('step', 'MAE 0.75', '1b', 'FSDP2', batch=16)
    traced = Case('estimate', 'MAE 0.75', '1b', 'eager', batch=16)
    most = Case('largest', 'MAE 0.75', '1b', 'compile')
    pair = Case('pair', 'MAE 0.75', '1b', 'compile', 'mmpretrain', batch=8)
    loading = Case('loading', 'MAE 0.75', '1b')
    absent, later, big = (Case('pair', 'pose 308', '1b', opponent=name) for name in ('x', 'y', 'z'))
    values = dict(step_ms=100.0, images_per_s=160.0, idle=0.02, peak_gb=40.0)
    sides = dict(sapiens=dict(ms=[50.0, 60.0], peak_gb=30.0), against=dict(ms=[110.0, 120.0], peak_gb=33.0))
    results = {
        step: dict(state='done', batch=8, values=values),
        sharded: dict(state='done', batch=16, values=dict(values, peak_gb=None, idle=None)),
        traced: dict(
            state='done', batch=16, values=dict(operations=2e12, plain={'8': 44e9, '16': 70e9}, FSDP2={'16': 80e9})
        ),
        most: dict(state='done', batch=1, values=dict(largest=9, is_seen=False)),
        pair: dict(state='done', batch=8, values=dict(sides, ratios=[2.0, 2.2], losses=[1.25, 1.25], note='same')),
        loading: dict(state='done', batch=1, values=dict(images_per_s=80.0)),
        absent: dict(state='missing', batch=1, error='x is not installed'),
        big: dict(state='memory', batch=1, error='OutOfMemoryError'),
    }
    rows = {case.name: row for case, row in results.items()}
    text = table.report([*results, later], rows, dict(device='GPU', driver='', torch='2.11'), peak=600e12)
    assert text.startswith('device GPU, torch 2.11.\n')
    assert '| MAE 0.75 | 1b | compile | 8 | 100.0 | 160.0 | 53.3% | 2.0% | 40.00 | +10.0% | 9 or more |' in text
    assert '| MAE 0.75 | 1b | FSDP2 | 16 | 100.0 | 160.0 | 53.3% |  |  |  |  |' in text
    against = '| MAE 0.75, same | 1b | compile | mmpretrain | 8 | 55.0 | 115.0 | 2.10 (2.00-2.20) | 30.00 | 33.00 '
    assert f'{against}| 1.250000, 1.250000 |' in text
    assert '| MAE 0.75 | 80.0 | 160.0, 1b | 2.0 |' in text
    assert '- MFU of MAE 1b at 0.75: 50%, reached (53.3%, compile)' in text
    assert '- MFU of finetuning of 1b, normals: 45%, not measured' in text
    assert "- speed of MAE 0.75 compared with mmpretrain's: 2x, reached (2.10, 1b, compile)" in text
    assert f'Left out, x is not installed: {absent.name}.' in text
    assert f'Left out, out of memory with 1 images: {big.name}.' in text
    assert f'Left out, not run yet (--resume): {later.name}.' in text
    unknown = table.report([*results], rows, dict(device='GPU'), peak=None)
    assert '- MFU of MAE 1b at 0.75: 50%, not measured' in unknown and '| 160.0 |  | 2.0% |' in unknown


def test_wheels_to_carry(tool):
    found = tool('gpu_needs').wheels('3.12')
    names = {line.split('==')[0] for line in found}
    assert {'onedl-mmengine', 'onedl-mmpretrain', 'mmpose', 'timm', 'prettytable', 'wcwidth'} <= names
    assert not names & {'torch', 'torchvision', 'sympy', 'pytest', 'anny', 'transformers'}
    assert all('==' in line for line in found)
    assert any(line.startswith('numpy==2.2.6') for line in tool('gpu_needs').wheels('3.10')) is False  # it is given
    assert 'scipy==1.15.3' in tool('gpu_needs').wheels('3.10')


def test_names_of_cases_and_refusals(tool):
    done = run('tools/benchmark/gpu_suite.py', '--list', '--only', 'mmpretrain')
    assert done.stdout.splitlines()[0] == 'pair/MAE 0.95/1b/compile/mmpretrain, 16 images'
    failed = run('tools/benchmark/gpu_suite.py', '--only', 'nothing', check=False)
    assert failed.returncode and 'no case has such a name' in failed.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu(tool):
    failed = run('tools/benchmark/gpu_suite.py', check=False)
    assert failed.returncode and '--smoke' in failed.stderr


def assert_estimates_are_right(text, rows, steps, estimated):
    """``estimated`` is the number of steps whose recipe and mode have an estimate."""
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line[:2] == '| ']
    found = [row for row in cells if len(row) == 11 and row[3].isdigit()]
    assert len(found) == sum(name.startswith('step/') for name in rows) == steps
    assert all(row[7] for row in found)
    right = [row for row in found if row[9].endswith('%')]
    assert len(right) == estimated and all(row[6] for row in right)
    for row in right:
        # That of FSDP2 is an upper bound (tests/engine/test_estimate.py): gathered blocks count at the peak of activations too.
        lowest, highest = (0, 20) if row[2] == 'FSDP2' else (-10, 10)
        assert lowest <= float(row[9].rstrip('%')) <= highest, row


@pytest.mark.slow
def test_estimates_of_all_recipes(tool):
    """Of all modes; the smoke test has two recipes.

    A loss works on parts of 1 MiB. The estimate has a whole part, which the maps of two tiny images do not fill.
    """
    cases = tool('gpu_cases').tiny(tool('gpu_cases').suite_cases())
    cases = [replace(case, batch=6) for case in cases if case.kind in ('step', 'estimate')]
    results, end = tool('gpu_lanes').Results(), time.monotonic() + 1200
    tool('gpu_lanes').run_cases(cases, tool('gpu_work').work, results, end, FORKED, least=0)
    assert {row['state'] for row in results.rows.values()} == {'done'}
    text = tool('gpu_table').report(cases, results.rows, dict(device='CPU'), peak=1e12)
    assert_estimates_are_right(text, results.rows, steps=32, estimated=32)


def test_all_of_it_on_a_cpu(tmp_path):
    path = tmp_path / 'results.jsonl'
    done = run(
        'tools/benchmark/gpu_suite.py',
        '--smoke',
        '--budget',
        '600',
        '--output',
        path,
        OMP_NUM_THREADS='1',
        PYTHONPATH='.',
    )
    rows = {row['case']: row for row in map(json.loads, path.read_text().splitlines())}
    assert {row['state'] for row in rows.values()} == {'done'}, [
        row for row in rows.values() if row['state'] != 'done'
    ]
    assert 'Left out' not in done.stdout and 'No results' not in done.stdout
    assert_estimates_are_right(done.stdout, rows, steps=11, estimated=5)
    for name, row in rows.items():
        if name.endswith('/mmpretrain'):
            ours, theirs = row['values']['losses']
            assert ours == pytest.approx(theirs, rel=1e-5)


def test_results_of_another_device_are_refused(tool, tmp_path, monkeypatch):
    suite, results = tool('gpu_suite'), tool('gpu_lanes').Results(tmp_path / 'results.jsonl')
    monkeypatch.setattr(suite, 'contexts', lambda: [FORKED])
    args = argparse.Namespace(smoke=True)
    facts, _ = suite.facts_of(args, results, os.devnull)
    assert facts['torch'] == torch.__version__ and 'CPU' in facts['device']
    [row] = results.rows.values()
    row['values'] = dict(facts, device='NVIDIA H100')
    with pytest.raises(SystemExit, match='NVIDIA H100'):
        suite.facts_of(args, results, os.devnull)
