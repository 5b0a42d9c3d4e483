"""``sapiens ablate``: its actions, with stubs and with a real training of two steps."""

import json

import numpy as np
import pytest
from PIL import Image

from sapiens.studies.load import load_study
from sapiens.studies.plan import plan_study
from sapiens.studies.runner import Local, run_plan, state_of
from sapiens.studies.state import read_record

from ..integration import status_of
from .toy import PROGRAM, STUDY, write_study

REAL = """
base = 'mae/sapiens_tiny_folder-256x256'
chain = [dict(name='pretrain'), dict(name='test', command='test', after='pretrain')]
options = {
    'model.backbone.arch': dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=64),
    'model.decoder': dict(num_layers=1, embed_dims=16, num_heads=2),
    'train_dataloader.dataset.pipeline.0.size': (64, 64),
    'val_dataloader.dataset.pipeline.0.size': (64, 64), 'test_dataloader.dataset.pipeline.0.size': (64, 64),
    'model.backbone.img_size': (64, 64), 'train_dataloader.batch_size': 2, 'train_dataloader.num_workers': 0,
    'test_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0, 'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2,
    'custom_hooks': [], 'default_hooks.checkpoint.interval': 2, 'default_hooks.logger.interval': 1,
}
variants = [dict(name='mask-0.5', options={'model.mask_ratio': 0.5})]
metrics = {'pretrain:loss': 'lower', 'test:mae/loss': 'lower'}
"""


def ablate(capsys, *arguments):
    """Run the command; returns its exit status and output."""
    status = status_of('ablate', *arguments)
    shown = capsys.readouterr()
    return status, shown.out + shown.err


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study whose runs are stubs, and options that put them into a folder of its own."""
    monkeypatch.setattr('sapiens.commands.ablate.PROGRAM', PROGRAM)
    monkeypatch.setattr('sapiens.studies.runner.INTERVAL', 0.02)
    return write_study(tmp_path), '--root', tmp_path / 'runs'


def test_actions(study, capsys, tmp_path):
    file, *root = study
    status, text = ablate(capsys, file, 'plan', '--no-trial', *root)
    assert status == 0 and '  train-seed0  ready  not tried' in text and '4 runs: 4 ready' in text
    assert 'checkpoints: up to 0.' in text and not (tmp_path / 'runs/toy').exists()
    status, text = ablate(capsys, file, 'run', '--on', 'local:2', *root)
    assert status == 0 and text.endswith('4 done\n')
    status, text = ablate(capsys, file, 'status', *root)
    assert status == 0 and '4 runs: 4 done' in text
    (tmp_path / 'log.md').write_text('<!-- begin of ablation toy -->\n<!-- end of ablation toy -->\n')
    outputs = ('--out', tmp_path / 'results', '--into', tmp_path / 'log.md', '--tensorboard')
    status, text = ablate(capsys, file, 'table', *outputs, *root)
    assert status == 0 and '| `decay-1.0.AP > decay-0.5.AP` | confirmed |' in text
    lines = (tmp_path / 'log.md').read_text().splitlines()
    assert all(len(line) <= 120 for line in lines if not line.startswith('|'))
    text = ' '.join(lines)
    assert (
        '4 of 4 runs are done, of seeds 0, 1. The study took 0.00 h of runs, on 20' in text and 'log.txt' not in text
    )
    assert '`sapiens ablate toy.py table` lists them.' in text
    ablate(capsys, file, 'table', '--only', 'decay-1*', '--seeds', '0', *outputs, *root)
    text = ' '.join((tmp_path / 'log.md').read_text().split())
    assert "`sapiens ablate toy.py table --only 'decay-1*' --seeds 0` lists them." in text
    ablate(capsys, file, 'table', *outputs, *root)
    assert {path.suffix for path in tmp_path.glob('results.*')} == {'.md', '.csv', '.json', '.png'}
    assert len(list((tmp_path / 'runs/toy/hparams').iterdir())) == 4
    status, text = ablate(capsys, file, 'diff', 'decay-1.0', 'decay-0.5', *root)
    assert 'layer_decay_rate' in text and '1.0' in text
    assert ablate(capsys, file, 'clean', *root) == (0, 'nothing to remove\n')
    status, text = ablate(capsys, file, 'clean', '--checkpoints', '--yes', *root)
    assert 'removed 0.0 MiB' in text and not list((tmp_path / 'runs').rglob('*.pth'))


def test_a_failed_run_is_the_exit_status(study, capsys):
    file, *root = study
    file.write_text(STUDY.replace('(1.0, 0.5)', '(0.13,)').replace("['decay-1.0.AP > decay-0.5.AP']", '[]'))
    status, text = ablate(capsys, file, 'run', *root)
    assert status == 1 and text.endswith('2 failed\n')
    status, text = ablate(capsys, file, 'run', *root)  # nothing is started again, which is told
    reason = 'failed (RuntimeError: the loss is wrong)'
    assert (status, text) == (1, ''.join(f'decay-0.13/train-seed{seed}: {reason}\n' for seed in (0, 1)) + '2 failed\n')


def test_weights_that_a_model_begins_with_are_looked_for_before_a_run(study, capsys, tmp_path):
    file, *root = study
    start = "'+model.backbone.init_cfg': dict(type='Pretrained', checkpoint='gone.pth')"
    file.write_text(STUDY.replace("': rate}", f"': rate, **({{{start}}} if rate == 0.5 else {{}})}}"))
    status, text = ablate(capsys, file, 'plan', '--no-trial', *root)
    assert status == 0 and 'note: decay-0.5: no checkpoint gone.pth' in text
    status, text = ablate(capsys, file, 'run', *root)
    assert status == 2 and text.count('\n') == 1 and 'toy.py cannot run: decay-0.5: no checkpoint gone.pth' in text
    assert not list(tmp_path.rglob('starts.txt'))


def test_jobs_do_not_search_which_is_told(study, capsys, tmp_path):
    pytest.importorskip('submitit'), pytest.importorskip('optuna')
    file, *root = study
    rate = 'optim_wrapper.paramwise_cfg.layer_decay_rate'
    file.write_text(f"{STUDY}\nseeds = [0]\nsearch = dict(space={{'{rate}': [0.5]}}, trials=3)\n")
    status, text = ablate(capsys, file, 'run', '--on', 'submitit-debug', *root)
    assert status == 0 and 'note: the named variants run; the search runs with --on local only' in text
    assert '2 done' in text and not list(tmp_path.rglob('trial-*'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('run', '--on', 'mars'), '--on mars: expected local'),
        (('run', '--on', 'slurm'), '--on slurm needs --time'),
        (('run', 'decay-1.0'), 'only diff takes variants'),
        (('diff', 'decay-1.0'), 'diff needs two variants'),
        (('plan', '--only', 'x*'), '--only x*: no variant'),
        (('run', '--on', 'local:99', '--gpus', '1'), '99 at a time, each on 1 GPU: this machine has'),
        (('plan', '--seeds', '2-1'), '--seeds 2-1: expected numbers'),
        (('clean', '--only', 'decay-1.0'), 'clean takes neither --only nor --seeds'),
        (('table', '--into', 'README.md'), 'README.md has no such markers'),
    ],
)
def test_wrong_arguments_end_in_one_line(study, arguments, message, capsys):
    file, *root = study
    status, text = ablate(capsys, file, *arguments, *root)
    assert status == 2 and message in text.splitlines()[-1]


def test_a_real_training_and_its_test(tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'images'))
    (tmp_path / 'images').mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (4, 80, 80, 3), np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / 'images' / f'{index}.png')
    plan = plan_study(load_study(write_study(tmp_path, REAL, 'real')), tmp_path / 'runs')
    assert plan.notes == []
    run_plan(plan, Local(1, gpus=0, cores=1), report=lambda text: None)
    states = [state_of(run) for run in plan.runs]
    assert [state.name for state in states] == ['done', 'done'], states
    trained, tested = (read_record(run.folder) for run in plan.runs)
    assert trained.checkpoint == 'iter_2.pth' and trained.memory > 2**27 and trained.step_seconds > 0
    assert trained.metrics['loss'] > 0 and tested.metrics['mae/loss'] == pytest.approx(
        trained.metrics['mae/loss'], rel=1e-5
    )
    content = json.loads((plan.runs[0].folder / 'content.json').read_text())
    assert content['model.mask_ratio'] == 0.5 and content['randomness.seed'] == 0
