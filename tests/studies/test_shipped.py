"""The shipped studies: each can be planned, small and full ones have the same variants, and the small ones train."""

import shutil
from functools import cache

import pytest

from sapiens import weights
from sapiens.commands import render
from sapiens.studies.load import load_study
from sapiens.studies.plan import Plan, plan_study
from sapiens.studies.resolve import option_texts
from sapiens.utils.config import config_folder

from ..integration import status_of
from ..integration.multi_task import FAKE

FOLDER = config_folder() / 'ablations'
FILES = {size: sorted(file.stem for file in (FOLDER / size).glob('*.py')) for size in ('mini', 'full')}
NAMES = [
    path.relative_to(FOLDER).with_suffix('').as_posix()
    for path in sorted(FOLDER.rglob('*.py'))
    if '_base_' not in path.parts
]
# A run of a small study takes at most 30 minutes on two cores.
MOST_STEPS = 8000


@cache
def plan_of(name: str) -> Plan:
    """The plan of a shipped study with one seed, as if nothing had run. All options pass the strict loader."""
    return plan_study(load_study(name, [0]), FOLDER / 'without results')


@pytest.mark.parametrize('name', NAMES)
def test_a_shipped_study_can_be_planned(name, monkeypatch):
    monkeypatch.setattr(weights, 'FOLDER', None)  # one goes on from weights of the package
    plan = plan_of(name)
    assert plan.study.name == name and plan.runs
    assert {variant for variant, _ in plan.chains} == {variant.name for variant in plan.study.variants}
    assert plan.study.checks or name.endswith('/encoders')  # which makes no claim


def test_studies_have_both_sizes_with_the_same_variants():
    assert FILES['mini'] == FILES['full']
    for name in FILES['mini']:
        small, full = load_study(f'mini/{name}'), load_study(f'full/{name}')
        assert [one.name for one in small.variants] == [one.name for one in full.variants], name
        assert (small.metrics, small.checks, small.reference) == (full.metrics, full.checks, full.reference), name
        assert len(small.seeds) >= 2, name


@pytest.mark.parametrize('name', ['losses_depth', 'losses_normal', 'losses_pose', 'losses_seg'])
def test_both_sizes_compare_the_same_losses(name):
    small, full = (
        {variant: losses_of(chain) for (variant, _), chain in plan_of(f'{size}/{name}').chains.items()}
        for size in ('mini', 'full')
    )
    assert small == full


def losses_of(chain):
    """The losses of the last stage, without options that are not set."""
    losses = list(chain.values())[-1].cfg.model.losses
    losses = losses if isinstance(losses, list) else [losses]
    return [
        {key: value for key, value in loss.items() if value is not None or key == 'class_weight'} for loss in losses
    ]


@pytest.mark.parametrize('name', ['init', 'pretraining_data', 'steps'])
def test_variants_with_fewer_images_of_a_full_study_take_as_many_steps(name):
    lengths = {}
    for run in plan_of(f'full/{name}').runs:
        length = dict(run.cfg.train_cfg)
        if 'max_epochs' in length and not (name == 'steps' and run.stage.name == 'pretrain'):  # whose length is varied
            begin, end = run.cfg.train_dataloader.dataset.get('part', (0, 1))
            repeat = run.cfg.train_dataloader.sampler.get('repeat', 1)
            assert repeat * (end - begin) == pytest.approx(1, abs=0.011), run.name  # depth holds a hundredth out
            lengths.setdefault(run.stage.name, set()).add(length['max_epochs'])
        elif 'max_iters' in length:
            lengths.setdefault(run.stage.name, set()).add(length['max_iters'])
    assert {len(found) for found in lengths.values()} == {1}
    if name == 'pretraining_data':  # its folders have different numbers of images
        assert lengths['pretrain'] == {73_000}


@pytest.mark.parametrize('name', FILES['mini'])
def test_the_schedules_of_a_small_study_fit_its_length(name):
    for run in plan_of(f'mini/{name}').runs:
        if run.stage.command == 'test':
            continue
        cfg, steps = run.cfg, run.cfg.train_cfg.max_iters
        assert steps <= MOST_STEPS
        ends = [cfg.param_scheduler[1]['end'], cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval]
        assert ends == [steps] * 3, run.name


@pytest.mark.parametrize('name', FILES['full'])
def test_a_full_study_has_the_published_size(name):
    for run in plan_of(f'full/{name}').runs:
        assert not any(word in run.config for word in ('tiny', 'synthetic'))
        assert name == 'resolution' or run.cfg.model.backbone.img_size[0] == 1024


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Small data for all studies, drawn people, and the finished runs: {hash: checkpoint}."""
    root = tmp_path_factory.mktemp('studies')
    folders = {
        'synthetic/train': 60,
        'synthetic/val': 3,
        'rooms/train': 3,
        'photographs/val': 3,
        'humans300m/train': 3,
    }
    for seed, (folder, count) in enumerate(folders.items()):
        render.main(['--out', str(root / folder), '--num', str(count), '--seed', str(seed), *FAKE])
    shutil.copytree(root / 'rooms/train/rgb', root / 'backgrounds/train')
    return root, {}


SHORT = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 2,
    'train_dataloader.batch_size': 1,
    **{f'{split}_dataloader.num_workers': 0 for split in ('train', 'val', 'test')},
}


@pytest.mark.slow
@pytest.mark.parametrize('name', FILES['mini'])
def test_all_variants_of_a_small_study_train_two_steps(name, data, monkeypatch):
    root, done = data
    monkeypatch.setenv('DATA_ROOT', str(root))
    for run in plan_of(f'mini/{name}').runs:
        if run.hash in done:
            continue
        if 'mmpretrain' in run.config:
            pytest.importorskip('mmpretrain')
        if 'timm' in run.config:
            pytest.importorskip('timm')
        place = root / 'runs' / run.hash
        start = done[run.parent.hash] if run.parent else None
        if run.stage.command == 'test':
            options = option_texts({**run.options, 'test_dataloader.num_workers': 0})
            arguments = ['test', run.config, str(start)]
        else:
            options = option_texts({**run.options, **SHORT, **({'load_from': str(start)} if start else {})})
            arguments = ['train', run.config]
        assert not status_of(*arguments, '--work-dir', str(place), '--cfg-options', *options), run.name
        done[run.hash] = place / 'iter_2.pth'
        assert run.stage.command == 'test' or done[run.hash].is_file()
