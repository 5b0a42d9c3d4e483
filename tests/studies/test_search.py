"""The search of a study by Optuna, with stubs as trainings."""

import os
import signal

import pytest

from sapiens.studies.load import load_study
from sapiens.studies.plan import plan_study
from sapiens.studies.results import collect
from sapiens.studies.runner import Stopped, run_plan
from sapiens.studies.search import check_search, run_search, trial_variants
from sapiens.studies.state import read_record

from .toy import PROGRAM, RATE, STUDY, places, plan_of, write_study

optuna = pytest.importorskip('optuna', reason='the search of studies needs optuna')


def search_of(folder, search, text=STUDY):
    return load_study(write_study(folder, f'{text}\nseeds = [0]\nchecks = []\nsearch = dict({search})\n'))


def execute(study, folder):
    lines = []
    run_search(study, folder / 'runs', places(2), PROGRAM, lines.append)
    return lines


def trials(study, folder):
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / 'runs' / study.name / 'optuna.journal'))
    )
    return optuna.load_study(study_name=study.name, storage=storage).trials


def test_trials_are_runs_and_named_variants_come_first(tmp_path):
    study = search_of(
        tmp_path, f"space={{'{RATE}': dict(low=0.4, high=1.0)}}, trials=4, sampler=dict(type='RandomSampler')"
    )
    plan = plan_study(study, tmp_path / 'runs')
    run_plan(plan, places(2), PROGRAM, report=lambda text: None)
    execute(study, tmp_path)
    found = trials(study, tmp_path)
    assert [trial.params[f'train:{RATE}'] for trial in found[:2]] == [1.0, 0.5] and len(found) == 4
    assert found[0].value == collect(plan).values['AP', 'decay-1.0', 0]
    assert len(list(tmp_path.rglob('starts.txt'))) == 4  # the two named ones were done
    variants = trial_variants(study, tmp_path / 'runs')
    assert [one.name for one in variants] == ['trial-0002', 'trial-0003']
    both = plan_study(study, tmp_path / 'runs', variants=[*study.variants, *variants])
    assert collect(both).values['AP', 'trial-0003', 0] == found[3].value
    assert execute(study, tmp_path) == []


def test_a_grid_of_choices(tmp_path):
    space = f"space={{'{RATE}': [0.5, 0.6, 1.0]}}, trials=3, sampler=dict(type='BruteForceSampler')"
    study = search_of(tmp_path, space)
    execute(study, tmp_path)
    assert sorted(trial.params[f'train:{RATE}'] for trial in trials(study, tmp_path)) == [0.5, 0.6, 1.0]


def test_hopeless_trials_are_pruned_at_a_validation(tmp_path, monkeypatch):
    monkeypatch.setenv('STUB_VALIDATE', '1')
    monkeypatch.setenv('STUB_SECONDS', '0.1')
    monkeypatch.setenv('STUB_STEPS', '20')
    monkeypatch.setattr('sapiens.studies.search._Watch.interval', 0.05)
    pruner = "pruner=dict(type='ThresholdPruner', lower=0.7)"
    study = search_of(tmp_path, f"space={{'{RATE}': [1.0, 0.5]}}, trials=2, {pruner}")
    execute(study, tmp_path)
    states = {trial.params[f'train:{RATE}']: trial.state.name for trial in trials(study, tmp_path)}
    assert states == {1.0: 'COMPLETE', 0.5: 'PRUNED'}
    pruned = next((tmp_path / 'runs/toy').glob('trial-0001/*/run.json'))
    assert read_record(pruned.parent).state == 'interrupted'


def test_an_abandoned_trial_is_taken_over(tmp_path):
    study = search_of(tmp_path, f"space={{'{RATE}': dict(low=0.4, high=1.0)}}, trials=3")
    pid = os.fork()
    if pid == 0:  # a process that ends in its first trial
        run_search(study, tmp_path / 'runs', places(), PROGRAM, lambda text: os._exit(0) if 'starts' in text else None)
    os.waitpid(pid, 0)
    assert trials(study, tmp_path)[0].state.name == 'RUNNING'
    lines = execute(study, tmp_path)
    assert 'trial-0000 was abandoned: it is enqueued again' in lines
    values = [trial.value for trial in trials(study, tmp_path) if trial.value is not None]
    assert len(values) == 3 and len(set(values)) == 3


def test_a_stopped_search_goes_on_with_its_trial(tmp_path):
    study = search_of(tmp_path, f"space={{'{RATE}': dict(low=0.4, high=1.0)}}, trials=3")
    sent = []

    def stop(text):
        if 'starts' in text and not sent:
            sent.append(signal.raise_signal(signal.SIGTERM))

    with pytest.raises(Stopped):
        run_search(study, tmp_path / 'runs', places(), PROGRAM, stop)
    execute(study, tmp_path)
    found = trials(study, tmp_path)
    assert [trial.state.name for trial in found] == ['FAIL', 'COMPLETE', 'COMPLETE', 'COMPLETE']
    assert found[0].params in [trial.params for trial in found[1:]]


def test_a_trial_that_fails_is_counted(tmp_path):
    study = search_of(tmp_path, f"space={{'{RATE}': [0.13]}}, trials=3")
    execute(study, tmp_path)
    assert sorted(trial.state.name for trial in trials(study, tmp_path)) == ['FAIL'] * 3


@pytest.mark.parametrize(
    ('search', 'message'),
    [
        (f"space={{'{RATE}': [1.0]}}, sampler=dict(type='Nothing')", "search.sampler has type='Nothing'"),
        (f"space={{'{RATE}': dict(low=0.1, high=1.0)}}, sampler=dict(type='GridSampler')", 'GridSampler needs lists'),
        (f"space={{'{RATE}': [1.0]}}, pruner=dict(type='ThresholdPruner')", 'search.pruner'),
        ('space={}', 'search has no space'),
        (f"space={{'{RATE}': [1.0]}}, metric='AR'", "search.metric='AR' is not in metrics"),
        (f"space={{'{RATE}': [1.0]}}, trials=0", 'search.trials=0'),
    ],
)
def test_what_is_refused(search, message, tmp_path):
    with pytest.raises(ValueError, match='toy.py') as raised:
        check_search(search_of(tmp_path, search))
    assert message in str(raised.value)


def test_a_plan_of_the_study_stays_as_it_was(tmp_path):
    study = search_of(tmp_path, f"space={{'{RATE}': [1.0]}}")
    assert len(plan_study(study, tmp_path).runs) == len(plan_of(tmp_path, f'{STUDY}\nseeds = [0]\n').runs) == 2
