import argparse
import json
from pathlib import Path

import pytest

from sapiens.models import MAE  # noqa: F401  (registers the encoders)
from sapiens.registry import MODELS
from sapiens.utils.config import find_config, load_config, origin_of
from sapiens.utils.config_keys import flatten
from sapiens.utils.config_options import add_options_argument, parse_options

from ..scripts import ROOT, run

LEAF = ROOT / 'configs' / 'mae' / 'sapiens_tiny_folder-256x256.py'


def test_options_of_a_command_line():
    parser = argparse.ArgumentParser()
    add_options_argument(parser)
    options = ['train_dataloader.batch_size=3', 'optim_wrapper.optimizer.lr=1e-5', 'model.norm_pix=True',
               'optim_wrapper.clip_grad=None', 'train_dataloader.dataset.pipeline.0.area=(0.5,1.0)',
               'model.backbone.img_size=(128,64)', 'optim_wrapper.precision=bf16']  # fmt: skip
    args = parser.parse_args(['--cfg-options', *options])
    cfg = load_config(LEAF, args.cfg_options)
    assert cfg.train_dataloader.batch_size == 3 and cfg.optim_wrapper.optimizer.lr == 1e-5
    assert cfg.model.norm_pix is True and cfg.optim_wrapper.clip_grad is None
    assert tuple(cfg.train_dataloader.dataset.pipeline[0].area) == (0.5, 1.0)
    assert tuple(cfg.model.backbone.img_size) == (128, 64) and cfg.optim_wrapper.precision == 'bf16'


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('model.backbone.archh=1b', r"no key 'archh' in model.backbone .*did you mean 'arch'.*\+model.backbone.archh"),
        ('modle.mask_ratio=0.5', "no key 'modle' in the config .*did you mean 'model'"),
        ('model.mask_ratio.x=1', 'model.mask_ratio of .* has no keys'),
        ('train_dataloader.dataset.pipeline.7.size=1', "is a list of 2, '7' is not an item"),
        ('train_dataloader.dataset.pipeline.first.size=1', "'first' is not an item"),
        ('train_dataloader.dataset.data_root=[a,b]', "a list cannot take the place of '"),
        ('load_from=[1,2', 'brackets are not balanced'),
        ('a..b=1', 'a part of the key is empty'),
        ('+modle.mask_ratio=1', "would change nothing: 'modle' is not a key of a config; did you mean 'model'"),
        ('+codec.sigma=2', "would change nothing: 'codec'"),
        ('metric.type=X', 'would change nothing.*--cfg-options val_evaluator.type=X'),
        ('train_pipeline.0.size=(8,8)', r"--cfg-options 'train_dataloader.dataset.pipeline.0.size=\(8, 8\)'"),
        ('val_dataset.data_root=x', 'would change nothing.*--cfg-options val_dataloader.dataset.data_root=x'),
        ('+backbone.out_indices=3', r'--cfg-options \+model.backbone.out_indices=3'),
        ('train_dataloader.batch_size=many', 'a str cannot take the place of 8 .int'),
        ('model.norm_pix=3', 'a int cannot take the place of False'),
        ('model.decoder=3', 'a int cannot take the place of'),
        ('nothing', 'expected KEY=VALUE'),
        ('train_pipeline.0.flip_prob=0', r'would change nothing.*train_dataloader.dataset.pipeline.0.flip_prob=0'),
        ('backbone.arch=1b', r'would change nothing.*model.backbone.arch=1b'),
    ],
)
def test_wrong_input_is_refused(option, message):
    with pytest.raises(ValueError, match=message):
        load_config(LEAF, [option])


@pytest.mark.parametrize('family', ['sapiens', 'sapiens2'])
def test_own_sizes_of_the_encoder(family):
    config = find_config(f'mae/{family}_tiny_synthetic-128x128.py')
    sizes = dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=96)
    whole = ', '.join(f'{key}={value}' for key, value in sizes.items())
    for options in (
        [f'model.backbone.arch=dict({whole})'],
        [f'model.backbone.arch={sizes}'],
        [f'model.backbone.arch.{key}={value}' for key, value in sizes.items()],
        {'model.backbone.arch': sizes},
    ):
        cfg = load_config(config, options)
        assert cfg.model.backbone.arch.to_dict() == sizes
        encoder = MODELS.build(cfg.model.backbone)
        assert (encoder.embed_dims, len(list(encoder.blocks))) == (48, 2)
    cfg = load_config(config, ['model.backbone.arch.embed_dims=48', 'model.backbone.arch.heads=2'])
    with pytest.raises(ValueError, match='needs exactly the keys .*lacks num_layers, .*and has heads'):
        MODELS.build(cfg.model.backbone)
    again = load_config(config, [f'model.backbone.arch={sizes}', 'model.backbone.arch.num_layers=3'])
    assert again.model.backbone.arch.to_dict() == sizes | dict(num_layers=3)
    assert (
        load_config(config, [f'model.backbone.arch={sizes}', 'model.backbone.arch=tiny']).model.backbone.arch == 'tiny'
    )
    for value in ('dict(embed_dims=big)', '{embed_dims: 3}', 'dict(3)'):
        with pytest.raises(ValueError, match='its dict cannot be read. Strings in it need quotes'):
            load_config(config, [f'model.backbone.arch={value}'])
    with pytest.raises(ValueError, match="a dict cannot take the place of 'MAE'"):
        load_config(config, ["model.type=dict(name='MAE')"])
    with pytest.raises(ValueError, match='a list cannot take the place of'):
        load_config(config, ['model.backbone.arch=[48,2,2,96]'])


def test_commas_inside_of_brackets_make_no_list():
    assert load_config(LEAF, ['load_from=runs(1,2)/a.pth']).load_from == 'runs(1,2)/a.pth'
    options = ["custom_hooks=[dict(type='A', sizes=[dict(x=1)])]"]
    assert parse_options(options) == dict(custom_hooks=[dict(type='A', sizes=[dict(x=1)])])


def test_values_take_the_type_of_replaced_values():
    size = 'train_dataloader.dataset.pipeline.0.size'
    cfg = load_config(
        LEAF,
        {
            size: [8, 8],
            'custom_imports.imports': ('sapiens.engine',),
            'train_cfg.max_iters': 1e3,
            'optim_wrapper.optimizer.lr': 1,
            'model.backbone.activation_checkpointing': 2,
            'load_from': 'x.pth',
        },
    )
    assert cfg.train_dataloader.dataset.pipeline[0].size == (8, 8) and cfg.custom_imports.imports == ['sapiens.engine']
    assert type(cfg.train_cfg.max_iters) is int and cfg.train_cfg.max_iters == 1000
    assert cfg.optim_wrapper.optimizer.lr == 1 and cfg.model.backbone.activation_checkpointing == 2
    assert cfg.load_from == 'x.pth'


def test_spaces_of_a_path_survive():
    cfg = load_config(LEAF, ['train_dataloader.dataset.data_root=/data/my images', 'load_from="a b.pth"'])
    assert cfg.train_dataloader.dataset.data_root == '/data/my images' and cfg.load_from == 'a b.pth'


def test_options_given_twice_both_count():
    parser = argparse.ArgumentParser()
    add_options_argument(parser)
    args = parser.parse_args(['--cfg-options', 'a=1', 'b=2', '--cfg-options', 'c=3'])
    assert args.cfg_options == ['a=1', 'b=2', 'c=3'] and parser.parse_args([]).cfg_options is None


def test_helper_values_cannot_be_changed_afterwards(tmp_path):
    (tmp_path / 'a.py').write_text('_root = 3\nwork_dir = str(_root)\n')
    with pytest.raises(ValueError, match="would change nothing: '_root' of .* was used up"):
        load_config(tmp_path / 'a.py', ['_root=4'])


def test_plus_adds_on_purpose():
    cfg = load_config(LEAF, ['+model.backbone.out_indices=3', '+model.new.deep=1'])
    assert cfg.model.backbone.out_indices == 3 and cfg.model.new.deep == 1
    cfg = load_config(LEAF, ['+default_hooks.sampler_seed.type=DistSamplerSeedHook'])
    assert cfg.default_hooks.sampler_seed == dict(type='DistSamplerSeedHook')
    with pytest.raises(ValueError, match='cannot take the place'):
        load_config(LEAF, ['+train_dataloader.batch_size=many'])


@pytest.mark.parametrize(
    ('options', 'key', 'value'),
    [
        (['activation_checkpointing=selective'], 'activation_checkpointing', 'selective'),
        (['activation_checkpointing=2'], 'activation_checkpointing', 2),
        (['activation_checkpointing=2', 'activation_checkpointing=all'], 'activation_checkpointing', 'all'),
        (['activation_checkpointing=all', 'activation_checkpointing.head=2'], 'activation_checkpointing.head', 2),
        (["activation_checkpointing=dict(head='all')"], 'activation_checkpointing.head', 'all'),
        (['activation_checkpointing.backbone=2'], 'activation_checkpointing.backbone', 2),
        (['model.backbone.activation_checkpointing=all'], 'model.backbone.activation_checkpointing', 'all'),
    ],
)
def test_activation_checkpointing_needs_no_plus(options, key, value):
    """Recipes do not have the key, neither at its place nor at its former one."""
    flat = flatten(load_config(LEAF, options)._cfg_dict.to_dict())
    assert {name: found for name, found in flat.items() if 'activation_checkpointing' in name} == {key: value}


def test_unknown_top_level_key(tmp_path):
    (tmp_path / 'a.py').write_text("modell = dict(type='MAE')\n")
    with pytest.raises(ValueError, match="unknown key 'modell'; did you mean 'model'"):
        load_config(tmp_path / 'a.py')
    (tmp_path / 'b.py').write_text('_helper = 3\nwork_dir = str(_helper)\n')
    assert load_config(tmp_path / 'b.py').work_dir == '3'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('auto_scale_lr = dict(enabled=True)', "auto_scale_lr.enabled; did you mean 'enable'"),
        (
            'auto_scale_lr = dict(enable=True, batch_size=64)',
            'auto_scale_lr.batch_size; did you mean .base_batch_size',
        ),
        ('env_cfg = dict(cudnn_benchmarks=True)', "env_cfg.cudnn_benchmarks; did you mean 'cudnn_benchmark'"),
        ('env_cfg = dict(mp_cfg=dict(start_method=1))', "env_cfg.mp_cfg.start_method; did you mean 'mp_start_method'"),
        ('env_cfg = dict(dist_cfg=dict(time_out=60))', "env_cfg.dist_cfg.time_out; did you mean 'timeout'"),
        ('randomness = dict(sede=1)', "randomness.sede; did you mean 'seed'.*the keys of randomness: .*seed"),
    ],
)
def test_unknown_key_of_a_section_that_ignores_it(tmp_path, text, message):
    (tmp_path / 'a.py').write_text(text)
    with pytest.raises(ValueError, match=rf'a\.py sets an unknown key {message}'):
        load_config(tmp_path / 'a.py')
    (tmp_path / 'b.py').write_text("_base_ = './a.py'")
    with pytest.raises(ValueError, match=r'b\.py sets an unknown key'):
        load_config(tmp_path / 'b.py')


def test_known_keys_of_sections(tmp_path):
    (tmp_path / 'a.py').write_text(
        'auto_scale_lr = dict(enable=True, base_batch_size=64)\nrandomness = dict(seed=1, deterministic=True)\n'
        "env_cfg = dict(dist_cfg=dict(backend='gloo', timeout=60, port=29501), resource_limit=9, cudnn_benchmark=True)\n"
    )
    assert load_config(tmp_path / 'a.py', ['env_cfg.dist_cfg.timeout=61']).env_cfg.dist_cfg.timeout == 61
    with pytest.raises(ValueError, match=r'--cfg-options sets an unknown key env_cfg\.dist_cfg\.time_out'):
        load_config(tmp_path / 'a.py', ['+env_cfg.dist_cfg.time_out=1'])


ROOTS = [
    "/home/o'brien/data",
    'D:\\temp',
    'C:\\users\\x',
    '/a "b"/c',
    '/back\\slash\\1',
    '/données',
    '/\udce9',
    '/a{b}$c',
    "'''",
]


@pytest.mark.parametrize('root', ROOTS)
def test_an_environment_variable_is_taken_as_it_is(root, monkeypatch, tmp_path):
    (tmp_path / 'a.py').write_text(
        "_r = r'{{$DATA_ROOT:data}}\\x'\nwork_dir = f'{1}{{$DATA_ROOT:data}}'\nload_from = \"{{ $DATA_ROOT : data }}/x's\"\n"
    )
    monkeypatch.setenv('DATA_ROOT', root)
    cfg = load_config(tmp_path / 'a.py')
    assert (cfg._r, cfg.work_dir, cfg.load_from) == (root + '\\x', '1' + root, root + "/x's")
    assert load_config(LEAF).train_dataloader.dataset.data_root == root
    cfg.dump(str(tmp_path / 'b.py'))  # as the work dir of a training has it
    assert load_config(tmp_path / 'b.py').load_from == root + "/x's"


def test_environment_variables_of_other_types_and_defaults(monkeypatch, tmp_path):
    (tmp_path / 'base.py').write_text("_count = {{'$COUNT:80'}}\nmodel = dict(names={{'$NAMES:[1]'}})\n")
    (tmp_path / 'a.py').write_text(
        "_base_ = './base.py'\n_more = {{_base_._count}}\nwork_dir = '{{$WORK_PLACE:C:\\\\a+b(1)}}'"
    )
    cfg = load_config(tmp_path / 'a.py')
    assert (cfg._count, cfg._more, cfg.model['names'], cfg.work_dir) == (80, 80, [1], 'C:\\a+b(1)')
    monkeypatch.setenv('COUNT', '3')
    monkeypatch.setenv('NAMES', "['b', 'c']")
    cfg = load_config(tmp_path / 'a.py')
    assert (cfg._count, cfg._more, cfg.model['names']) == (3, 3, ['b', 'c'])
    monkeypatch.setenv('COUNT', 'two or three')
    with pytest.raises(ValueError, match="environment variable COUNT='two or three' is not a Python literal"):
        load_config(tmp_path / 'a.py')
    monkeypatch.setenv('COUNT', '')
    with pytest.raises(ValueError, match=r'a\.py: the environment variable COUNT is empty'):
        load_config(tmp_path / 'a.py')


def test_missing_file_names_its_neighbours():
    with pytest.raises(FileNotFoundError, match='there is .*sapiens_tiny_folder-256x256.py'):
        load_config(LEAF.with_name('sapiens_tiny_folder-256x255.py'))
    with pytest.raises(FileNotFoundError, match=r'configs/seg has .*sapiens\w+.*\.py, .* and \d+ others'):
        load_config('configs/seg/qqq.py')
    with pytest.raises(FileNotFoundError, match='no config file qqq; configs that are shipped lie below .*configs'):
        load_config('qqq')
    with pytest.raises(FileNotFoundError, match='there is mae/sapiens_tiny_folder-256x256.py'):
        load_config(LEAF.parents[1] / 'mea' / LEAF.name)
    with pytest.raises(FileNotFoundError, match='is a folder'):
        load_config(LEAF.parent)


def child(tmp_path, text, base=LEAF):
    path = tmp_path / 'child.py'
    path.write_text(f"_base_ = '{base}'\n{text}\n")
    return path


SYNTHETIC = LEAF.parents[1] / 'depth' / 'sapiens_tiny_synthetic-128x96.py'
POSE = LEAF.parents[1] / 'pose' / 'sapiens_tiny_synthetic17-128x96.py'
PIPELINE = "[dict(type='LoadResize', size=(128, 128)), dict(type='PackImage')]"


@pytest.mark.parametrize(
    ('base', 'text', 'place'),
    [
        (LEAF, f'train_pipeline = {PIPELINE}', 'train_dataloader.dataset.pipeline'),
        (LEAF, f'val_pipeline = {PIPELINE}', 'val_dataloader.dataset.pipeline'),
        (LEAF, "train_dataset = dict(data_root='x')", 'train_dataloader.dataset'),
        (LEAF, "val_dataset = dict(data_root='x')", 'val_dataloader.dataset'),
        (LEAF, "backbone = dict(arch='0.3b')", 'model.backbone'),
        (SYNTHETIC, "metric = dict(alignment='none')", 'val_evaluator'),
        (POSE, "skeleton = 'wholebody133'", 'model.skeleton'),
        (LEAF, f"val_pipeline = {PIPELINE}\nval_dataloader = dict(dataset=dict(pipeline=val_pipeline))",
         'test_dataloader.dataset.pipeline'),
    ],
)  # fmt: skip
def test_a_primitive_that_is_changed_without_being_wired_is_refused(tmp_path, base, text, place):
    path = child(tmp_path, text, base)
    with pytest.raises(ValueError, match=rf'child\.py changes (\w+), which has no effect: {place} keeps'):
        load_config(path)
    grandchild = tmp_path / 'grandchild.py'
    grandchild.write_text("_base_ = './child.py'\nwork_dir = 'x'\n")
    with pytest.raises(ValueError, match=r'child\.py changes'):
        load_config(grandchild)


def test_another_dataset_is_wired_as_the_message_says(tmp_path):
    text = "train_dataset = dict(type='TarShards', shards='index.safetensors')"
    with pytest.raises(ValueError) as refused:
        load_config(child(tmp_path, text, LEAF))
    wiring = str(refused.value).partition('set train_dataloader.dataset to ')[2]
    wired = load_config(child(tmp_path, f'{text}\ntrain_dataloader = dict(dataset={wiring})', LEAF))
    dataset = wired.train_dataloader.dataset
    assert set(dataset) == {'type', 'shards', 'pipeline'} and dataset.pipeline == wired.train_pipeline


@pytest.mark.parametrize(
    ('base', 'text'),
    [
        (LEAF, f'train_pipeline = {PIPELINE}\ntrain_dataloader = dict(dataset=dict(pipeline=train_pipeline))'),
        (LEAF, "train_dataloader = dict(dataset=dict(data_root='x'))"),
        (LEAF, "train_dataset = dict(data_root='x')\ntrain_dataloader = dict(dataset=train_dataset)"),
        (LEAF, "backbone = dict(arch='0.3b')\nmodel = dict(backbone=dict(arch='0.3b'))"),
        (LEAF, "backbone = dict(init_cfg=None)\nmodel = dict(backbone=backbone)"),
        (SYNTHETIC, "metric = dict(type='DepthMetric', alignment='none')\n"
                    "val_evaluator = [metric]\ntest_evaluator = [metric]"),
        (LEAF.parents[1] / 'depth' / 'sapiens_1b_hi4d-1024x768.py',
         "val_dataset = dict(data_root='x')\nval_dataloader = dict(dataset=val_dataset)"),
    ],
)  # fmt: skip
def test_a_primitive_that_is_wired_is_accepted(tmp_path, base, text):
    load_config(child(tmp_path, text, base))


@pytest.mark.parametrize(
    'name', ['sapiens_1b_coco-1024x768', 'pose/sapiens_1b_coco-1024x768', 'configs/pose/sapiens_1b_coco-1024x768.py']
)
def test_a_shipped_config_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == ROOT / 'configs/pose/sapiens_1b_coco-1024x768.py'
    assert load_config(name).model.type == 'PoseEstimator'
    Path('sapiens_1b_coco-1024x768').touch()
    assert find_config('sapiens_1b_coco-1024x768') == Path('sapiens_1b_coco-1024x768'), 'files of the user come first'


def test_a_name_of_several_or_no_configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'names 2 configs: pose/.*goliath-1024x768\.py, seg/'):
        find_config('sapiens_1b_goliath-1024x768')
    with pytest.raises(FileNotFoundError, match=r'there is .*pose/sapiens_1b_coco-1024x768\.py'):
        find_config('sapiens_1b_cocoo-1024x768')


def test_origin_is_the_most_derived_file_that_decided(tmp_path):
    (tmp_path / 'base.py').write_text('model = dict(a=1, b=2, c=[1, 2])\n')
    (tmp_path / 'middle.py').write_text("_base_ = './base.py'\nmodel = dict(b=3)\n")
    (tmp_path / 'leaf.py').write_text("_base_ = './middle.py'\nmodel = dict(d=_base_.model.b, b=3)\n")
    origin = {key: Path(file).name for key, file in origin_of(tmp_path / 'leaf.py').items()}
    assert origin == {'model.a': 'base.py', 'model.b': 'middle.py', 'model.c': 'base.py', 'model.d': 'leaf.py'}


def test_a_value_restored_by_a_leaf_comes_from_the_leaf(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\nsteps = [dict(x=1), dict(x=2)]\n')
    (tmp_path / 'middle.py').write_text("_base_ = './base.py'\na = 2\nsteps = [dict(x=1), dict(x=3)]\n")
    (tmp_path / 'leaf.py').write_text("_base_ = './middle.py'\na = 1\n")
    origin = {key: Path(file).name for key, file in origin_of(tmp_path / 'leaf.py').items()}
    assert origin == {'a': 'leaf.py', 'steps.0.x': 'base.py', 'steps.1.x': 'middle.py'}


def test_a_wired_value_comes_from_the_file_of_its_primitive():
    def file(config, key):
        return Path(origin_of(config)[key]).relative_to(ROOT / 'configs').as_posix()

    assert file(SYNTHETIC, 'train_dataloader.dataset.type') == '_base_/datasets/synthetic_depth.py'
    assert file(SYNTHETIC, 'test_dataloader.dataset.type') == '_base_/datasets/synthetic_depth.py'
    assert file(SYNTHETIC, 'train_dataloader.dataset.pipeline.2.steps.0.ratio') == 'depth/_base_/depth-128x96.py'
    assert file(SYNTHETIC, 'val_evaluator.0.type') == '_base_/datasets/synthetic_depth.py'
    assert file(SYNTHETIC, 'model.backbone.arch') == '_base_/backbones/sapiens_tiny.py'
    assert file(SYNTHETIC, 'model.head.conv_channels') == 'depth/_base_/depth-128x96.py'
    assert file(POSE, 'model.skeleton') == '_base_/datasets/synthetic17.py'


def test_config_command_writes_json_with_data_root_set(tmp_path):
    process = run('tools/misc/print_config.py', LEAF, '--json', DATA_ROOT=str(tmp_path))
    assert 'DATA_ROOT' not in process.stderr, 'the variable is not announced once per file'
    shown = json.loads(process.stdout)
    place = shown['train_dataloader.dataset.data_root']
    assert place == dict(value=str(tmp_path), file='configs/_base_/datasets/folder.py')


def test_flatten():
    nested = dict(a=dict(b=1, c={}), d=[dict(e=2), dict(f=3)], g=[1, 2])
    assert flatten(nested) == {'a.b': 1, 'a.c': {}, 'd.0.e': 2, 'd.1.f': 3, 'g': [1, 2]}


def test_print_config_shows_values_with_their_files():
    options = ['--only', 'model', '--cfg-options', 'model.mask_ratio=0.5', 'model.mask_block_size=1']
    lines = run('tools/misc/print_config.py', LEAF, *options).stdout.splitlines()
    shown = {line.split(' = ')[0]: line for line in lines}
    assert shown['model.mask_ratio'].endswith('# command line') and ' = 0.5 ' in shown['model.mask_ratio']
    assert len({line.index('# ') for line in lines}) == 1, 'aligned'
    assert shown['model.mask_block_size'].endswith('# command line'), 'given, though it is the value of the file'
    assert shown['model.decoder.num_layers'].endswith('# configs/mae/_base_/mae-256x256.py')
    assert shown['model.type'].endswith('# configs/mae/_base_/mae-1024x1024.py')


@pytest.mark.parametrize(
    ('text', 'error', 'message'),
    [
        (
            "custom_imports = dict(imports=['my_taskk'])",
            ValueError,
            r"c.py lists .* \(ModuleNotFoundError: No module named 'my_taskk'\)",
        ),
        (
            'x = 1\nmodel = dict(',
            ValueError,
            r"^/[^:]*/c.py is not valid Python: line 2, 'model = dict\(': '\(' was never",
        ),
        ("root = '{{$DATA_ROOT:data}}'\nx = y z", ValueError, r"c.py is not valid Python: line 2, 'x = y z': "),
        ("_base_ = './b.py'", ValueError, r"/c.py: /[^:]*/b.py is not valid Python: line 3, 'for x in y': expected"),
        ("_base_ = 'nowhere.py'", FileNotFoundError, r'c.py: .*nowhere.py'),
    ],
)
def test_a_config_that_cannot_be_read_is_refused_by_name(text, error, message, tmp_path):
    (tmp_path / 'c.py').write_text(text)
    (tmp_path / 'b.py').write_text('\n\nfor x in y\n')
    with pytest.raises(error, match=message) as caught:
        load_config(tmp_path / 'c.py')
    assert '\n' not in str(caught.value)


def test_an_option_may_be_a_list_of_dicts():
    cfg = load_config('sapiens_tiny_coco-128x96', ["+custom_hooks=[{'type': 'EMAHook', 'momentum': 0.5}]"])
    assert cfg.custom_hooks[0].type == 'EMAHook' and cfg.custom_hooks[0].momentum == 0.5
    with pytest.raises(ValueError, match='PoseVisualizationHook'):
        load_config('sapiens_tiny_coco-128x96', ["+custom_hooks=[{'type': 'PoseVisualizationHook'}]"])
