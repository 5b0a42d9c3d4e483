"""Studies: what is read, what is planned, and what is refused before anything runs."""

import pytest

from sapiens.studies.checks import parse_check
from sapiens.studies.grid import expand_grid
from sapiens.studies.load import load_study, parse_seeds
from sapiens.studies.plan import plan_study

from .toy import BASE, CHAIN, RATE, STUDY, plan_of, write_study

GRID = f"""
base = '{BASE}'
grid = {{'{RATE}': {{'low': 0.5, 'high': 1.0}}, 'train_dataloader.batch_size': [4, 8]}}
exclude = [{{'{RATE}': 'low', 'train_dataloader.batch_size': 8}}]
metrics = {{'AP': 'higher'}}
"""


def test_runs_of_all_variants_and_seeds(tmp_path):
    plan = plan_of(tmp_path)
    assert [run.name for run in plan.runs] == [
        'decay-1.0/train-seed0',
        'decay-0.5/train-seed0',
        'decay-1.0/train-seed1',
        'decay-0.5/train-seed1',
    ]
    assert [(run.cfg.optim_wrapper.paramwise_cfg.layer_decay_rate, run.cfg.randomness.seed) for run in plan.runs] == [
        (1.0, 0),
        (0.5, 0),
        (1.0, 1),
        (0.5, 1),
    ]
    assert len({run.hash for run in plan.runs}) == 4
    assert plan.runs[0].folder == tmp_path / 'runs/toy/decay-1.0/train-seed0'


def test_grid_is_a_product_with_names_and_exclusions(tmp_path):
    plan = plan_of(tmp_path, GRID)
    found = {run.variants[0]: run.options for run in plan.runs}
    assert list(found) == ['low_batch_size-4', 'high_batch_size-4', 'high_batch_size-8']
    assert found['high_batch_size-8'] == {RATE: 1.0, 'train_dataloader.batch_size': 8, 'randomness.seed': 0}


def test_names_of_values():
    grid = {'pretrain:model.mask_ratio': [0.5, 0.75], 'a.size': [[128, 96], 'x']}
    names = [variant['name'] for variant in expand_grid(grid, (), 'study.py')]
    assert names == [
        'mask_ratio-0.5_size-128x96',
        'mask_ratio-0.5_size-x',
        'mask_ratio-0.75_size-128x96',
        'mask_ratio-0.75_size-x',
    ]


def test_equal_stages_are_shared_and_load_the_checkpoint_before(tmp_path):
    plan = plan_of(tmp_path, CHAIN)
    by_name = {run.name: run for run in plan.runs}
    pretrain = by_name['decay-1.0/pretrain-seed0']
    assert pretrain.variants == ['decay-1.0', 'decay-0.5']
    assert len(plan.runs) == 1 + 3 + 3
    assert by_name['decay-0.5/pose-seed0'].parent is pretrain
    assert by_name['scratch/pose-seed0'].parent is None
    test = by_name['decay-0.5/test-seed0']
    assert test.cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.5  # of the model that it tests
    # What changes the test does not change the training.
    other = plan_of(tmp_path, f"{CHAIN}\nchain[2]['options'] = {{'test_dataloader.batch_size': 7}}\n")
    assert {run.name for run in other.runs if run.hash != by_name[run.name].hash} == {
        f'{variant}/test-seed0' for variant in ('decay-1.0', 'decay-0.5', 'scratch')
    }


def test_the_hash_does_not_depend_on_the_place_of_the_data(tmp_path, monkeypatch):
    hashes = []
    for place in ('/disk1/data', '/disk2/people/'):
        monkeypatch.setenv('DATA_ROOT', place)
        hashes.append([run.hash for run in plan_of(tmp_path).runs])
    assert hashes[0] == hashes[1]


def test_a_study_may_have_a_base_and_another_model(tmp_path):
    write_study(tmp_path, STUDY, 'first')
    file = write_study(tmp_path, "_base_ = './first.py'\nbase = 'pose/sapiens_0.3b_coco-1024x768'\n", 'full')
    plan = plan_study(load_study(file), tmp_path)
    assert plan.study.name == 'full' and plan.runs[0].cfg.model.backbone.arch == '0.3b'


def test_shipped_studies_are_found_by_name():
    study = load_study('mini/layer_decay')
    assert study.name == 'mini/layer_decay' and study.variants[0].name == 'decay-1.0'


def refuse(folder, text, message, **options):
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        plan_of(folder, text, **options)
    assert message in str(raised.value) and '\n' not in str(raised.value)
    assert 'toy.py' in str(raised.value)
    return str(raised.value)


def test_all_wrong_options_of_all_variants_are_in_one_message(tmp_path):
    variants = """[
        dict(name='a', options={'model.hed.x': 1, 'train_cfg.max_iter': 3}),
        dict(name='b', options={'model.hed.x': 1}), dict(name='c', options={'train_cfg.max_iters': 3}),
    ]"""
    message = refuse(tmp_path, f'{STUDY}\nvariants = {variants}\nchecks = []\n', 'cannot run')
    assert "a, b: no key 'hed' in model" in message and "a: no key 'max_iter'" in message and 'c:' not in message


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('metric = {}', "unknown key 'metric'; did you mean 'metrics'?"),
        ('grid = {}', 'its grid is empty'),
        ("grid = {'train_dataloader.batch_size': []}", 'no values for train_dataloader.batch_size'),
        ("grid = {'train_cfg.max_iters': [1]}\nexclude = [{'train_cfg.max_iters': 2}]", 'fits no combination'),
        ("grid = {'train_cfg.max_iters': [1]}\nexclude = [{'train_cfg.max_iters': 1}]", 'exclude leaves nothing'),
        ("variants = [dict(name='a'), dict(name='a')]", "two of its entries are called 'a'"),
        ("variants = [dict(name='a'), dict(name='b')]\nchecks = []", 'variants a and b are equal'),
        ("variants = [dict(name='../a')]", "called '../a', which would write outside of its folder"),
        ("variants = [dict(name='a', option={})]", "unknown key 'option'; did you mean 'options'?"),
        ("variants = [dict(name='a', options={'work_dir': '/tmp'})]", 'work_dir, which belongs to the study'),
        ("variants = [dict(name='a', config='no_such_config')]\nchecks = []", 'a: no config file no_such_config'),
        ("metrics = {'AP': 'up'}", "expected 'higher' or 'lower'"),
        ('metrics = {}', 'has no metrics'),
        ('seeds = [0, 1, 0]', 'seed 0 is given twice in seeds=[0, 1, 0]: a run has one result, so remove one'),
        ('seeds = []', 'expected a list of whole numbers'),
        ("reference = 'decay-2.0'", "reference='decay-2.0' is not a variant"),
        ("options = {'load_from': 'nowhere.pth'}", ': correct its path, or set load_from=None'),
        (
            "variants = [dict(name='a', options={'visualizer.save_dir': '/tmp'})]",
            'a sets visualizer.save_dir, which belongs',
        ),
        ("options = {'visualizer': dict(type='Visualizer', save_dir='/tmp')}", "visualizer.save_dir='/tmp' of"),
        (
            "options = {'+custom_hooks': [dict(type='PoseFiguresHook', out_dir='/tmp')]}",
            "custom_hooks.0.out_dir='/tmp' of",
        ),
        ("checks = ['decay-1.0.AP > decay-0.6.AP']", "no variant 'decay-0.6'; did you mean 'decay-0.5'?"),
        ("checks = ['decay-1.0.AR > decay-0.5.AP']", "'AR' is not in metrics"),
        (
            "chain = [dict(name='a', after='b'), dict(name='b', after='a')]",
            'a circle: a -> b -> a: remove after from one of',
        ),
        ("chain = [dict(name='a', after='c')]", "after 'c', not a stage"),
        ("chain = [dict(name='a', command='test')]", 'a test without a checkpoint'),
        ('seeds = list(range(101))', '2 variants, 101 seeds and 1 stage are 202 runs, more than 200'),
        ('seeds = [2**32]', 'expected a list of whole numbers below 2**32'),
        ('base = 3', 'base is 3, expected a text'),
        ('variants = 3', 'variants is 3, expected a list'),
        ("variants = [dict(name='a', options=[1])]", 'options of variant a is [1], expected a dict'),
        ("variants = [dict(name='a', options={3: 4})]", 'an option of variant a is 3, expected a text'),
        ("variants = [dict(name='a', config=['x'])]", "a config of variant a is ['x'], expected a text"),
        ("variants = [dict(name='hparams')]", "called 'hparams', as the folder of TensorBoard's page of the study"),
        ("variants = [dict(name='a' * 201)]", 'at most 200'),
        ("grid = {'train_cfg.max_iters': 3}", 'no values for train_cfg.max_iters, but 3'),
        ("grid = {'optim_wrapper.optimizer.lr': [0.1, 0.1000000001]}", 'which are both called lr-0.1'),
        ("grid = {'train_cfg.max_iters': [1]}\nexclude = ['ab']", "an entry of exclude is 'ab', expected a dict"),
        ("chain = [dict(name='a', after=['b'])]", "after of stage a is ['b'], expected a text"),
        ("chain = [dict(name='a', options=3)]", 'options of stage a is 3, expected a dict'),
        ('options = [1]', 'options is [1], expected a dict'),
        ("options = {'default_hooks.checkpoint': dict(type='CheckpointHook', out_dir='/tmp')}", "out_dir='/tmp' of"),
        ("metrics = {3: 'higher'}", 'a metric is 3, expected a text'),
        ("checks = 'decay-1.0.AP > 1'", "checks is 'decay-1.0.AP > 1', expected a list"),
        ("checks = ['2 > 1']", "check '2 > 1' names no variant"),
        (
            "power_laws = [dict(name='x', metric='AP', points={'decay-1.0': [1]})]",
            'x=[1] at decay-1.0, expected a number above 0',
        ),
        (
            "power_laws = [dict(name='x', metric='AP', points={'decay-1.0': float('inf')})]",
            'x=inf at decay-1.0, expected a number',
        ),
        (f"search = dict(space={{'{RATE}': 3}})", 'expected a list or dict(low=..., high=..., log=...)'),
        (f"search = dict(space={{'{RATE}': dict(low=2, high=1)}})", 'with low <= high'),
        (f"search = dict(space={{'{RATE[:-1]}': [1.0, 0.9]}})", "search: no key 'layer_decay_rat'"),
        (
            f"search = dict(space={{'{RATE}': [1.0]}}, sampler='TPESampler')",
            "search.sampler is 'TPESampler', expected a dict",
        ),
        (
            f"search = dict(space={{'{RATE}': [1.0]}})\nvariants = [dict(name='trial-1')]\nchecks = []",
            "called 'trial-1', as trials",
        ),
    ],
)
def test_what_is_refused(text, message, tmp_path):
    refuse(tmp_path, f'{STUDY}\n{text}\n', message)


def test_a_metric_that_no_stage_reports_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', str(tmp_path / 'no_data'))
    text = CHAIN.replace("'test:AP': 'higher', 'pose:AP': 'higher'", "'pretrain:mae/los': 'lower'")
    message = refuse(tmp_path, text, "no stage reports the metric 'pretrain:mae/los'; did you mean 'mae/loss'?")
    assert 'pretrain:mae/loss' in message
    text = CHAIN.replace("'test:AP'", "'tst:AP'")
    refuse(tmp_path, text, "names no stage; did you mean 'test'? (stages: pretrain, pose, test)")
    # Its evaluator needs the data.
    assert 'whether pose reports pose:AP is seen when it runs' in plan_of(tmp_path, CHAIN).notes[1]


def test_a_metric_may_be_of_a_stage_that_the_first_variant_lacks(tmp_path):
    text = CHAIN.replace(
        'variants = [',
        "variants = [dict(name='none', options={'pose:load_from': None, 'pose:train_cfg.max_iters': 3}),",
    )
    assert 'pretrain' not in plan_of(tmp_path, text).chains['none', 0]
    plan_of(tmp_path, text.replace("'test:AP'", "'pretrain:mae/loss'"))


def test_options_need_a_stage_where_several_are_trained(tmp_path):
    refuse(tmp_path, CHAIN.replace('pose:optim', 'optim'), f'write STAGE:{RATE}')
    refuse(tmp_path, CHAIN.replace('pose:optim', 'pos:optim'), "no stage 'pos'; did you mean 'pose'?")


def test_more_runs_with_a_confirmation(tmp_path):
    assert len(plan_of(tmp_path, f'{STUDY}\nseeds = list(range(101))\n', yes=True, only='decay-1*').runs) == 101


def test_seeds():
    assert parse_seeds('0-2,7') == [0, 1, 2, 7]
    for text in ('', '2-0', 'a', '1.5'):
        with pytest.raises(ValueError, match='--seeds'):
            parse_seeds(text)


def test_checks_are_sums_of_metrics():
    values = {('a-1', 'AP'): 2.0, ('a-1.5', 'AP'): 3.0, ('b', 'coco/AR'): 10.0}
    assert parse_check('a-1.AP > -1.5e-1', ['a-1'], ['AP']).difference(lambda *names: 1.0) == 1.15
    check = parse_check('a-1.5.AP - 2 * a-1.AP < b.coco/AR + 0.5', ['a-1', 'a-1.5', 'b'], ['AP', 'coco/AR'])
    assert check.difference(lambda *names: values.get(names)) == 10.5 - (3.0 - 4.0)
    assert check.difference(lambda *names: None) is None
    assert check.variants == ['b', 'a-1.5', 'a-1']
    for text in ('a-1.AP', 'a-1.AP > b.coco/AR > 1', 'a-1.AP >', 'a-1.AP 3 > 1', "__import__('os') > 1"):
        with pytest.raises(ValueError, match='check'):
            parse_check(text, ['a-1', 'b'], ['AP', 'coco/AR'])
