"""Classes of other OpenMMLab packages in configs."""

import re

import pytest
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner as ForeignRunner

from sapiens import registry
from sapiens.engine import Runner
from sapiens.utils import foreign
from sapiens.utils.config import load_config
from sapiens.utils.foreign import ADVICE, refuse_foreign
from tests.engine.toy import Linear, Numbers

# A type of each kind, its place, and the name that the answer must have.
KINDS = [
    ('val_evaluator.0.type', 'CocoMetric', 'KeypointMetric'),
    ('val_evaluator.1.type', 'mmseg.IoUMetric', 'SegMetric'),
    ('train_dataloader.dataset.type', 'mmpose.CocoDataset', 'KeypointDataset'),
    ('train_dataloader.dataset.type', 'mmpose.AP10KDataset', 'KeypointDataset'),
    ('train_dataloader.dataset.type', 'mmseg.ADE20KDataset', 'SegmentationDataset'),
    ('train_dataloader.dataset.type', 'BaseSegDataset', 'SegmentationDataset'),
    ('model.type', 'TopdownPoseEstimator', 'PoseEstimator'),
    ('model.type', 'EncoderDecoder', 'DenseEstimator'),
    ('model.head.type', 'mmpose.HeatmapHead', 'without the scope'),
    ('model.head.type', 'mmseg.FCNHead', 'DenseHead'),
    ('model.backbone.type', 'mmpose.HRNet', 'an encoder of mmpretrain'),
    ('model.losses.type', 'KeypointMSELoss', 'HeatmapMSELoss'),
    ('train_dataloader.dataset.pipeline.0.type', 'LoadImageFromFile', 'LoadDense'),
    ('train_dataloader.dataset.pipeline.2.type', 'mmpose.GenerateTarget', 'model.codec'),
    ('custom_hooks.0.type', 'PoseVisualizationHook', 'PosePictureHook'),
    ('custom_hooks.1.type', 'mmseg.SegVisualizationHook', '--show-dir'),
    ('visualizer.type', 'PoseLocalVisualizer', "'Visualizer'"),
    ('optim_wrapper.type', 'AmpOptimWrapper', "precision='bf16'"),
    ('optim_wrapper.constructor', 'mmpose.LayerDecayOptimWrapperConstructor', 'ParamGroupConstructor'),
]


def nested(key, value):
    """A config with one value; numbers in the key are positions in lists."""
    for part in reversed(key.split('.')):
        value = [*[dict(type='X')] * int(part), value] if part.isdigit() else {part: value}
    return value


@pytest.mark.parametrize(('key', 'name', 'instead'), KINDS, ids=[name for _, name, _ in KINDS])
def test_the_answer_has_the_key_the_type_and_what_to_take(key, name, instead, monkeypatch):
    monkeypatch.setattr(foreign, 'is_cuda_available', lambda: False)
    with pytest.raises(
        ValueError, match=f'own.py: {re.escape(key)}={name!r} does not work here: .*{re.escape(instead)}'
    ):
        refuse_foreign(nested(key, name), 'own.py')


@pytest.mark.parametrize(
    'name',
    ['mmpose.GetBBoxCenterScale', 'mmpose.CocoMetric', 'mmpretrain.VisionTransformer', 'mmengine.AmpOptimWrapper'],
)
def test_what_works_is_not_refused(name, monkeypatch):
    monkeypatch.setattr(foreign, 'is_cuda_available', lambda: True)
    refuse_foreign(dict(custom=[dict(type=name)]), 'own.py')


def test_no_class_of_this_package_has_advice_and_every_advice_names_one():
    ours = {name for one in vars(registry).values() if isinstance(one, Registry) for name in one.module_dict}
    refused = [name for name in ours for pattern in ADVICE if re.fullmatch(pattern, name)]
    assert len(ours) > 60 and not refused
    for text in ADVICE.values():
        for name in re.findall(r"(?:type|constructor)='(\w+)'", text):
            assert name in ours or name == 'Visualizer', name


def test_configs_and_runners_refuse_them(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text("custom_hooks = [dict(type='PoseVisualizationHook')]\n")
    with pytest.raises(ValueError, match='own.py: custom_hooks.0.type'):
        load_config(path)
    with pytest.raises(ValueError, match='own.py: custom_hooks.0.type'):
        Runner.from_cfg(Config.fromfile(str(path)))


def test_a_file_that_fails_is_named(tmp_path):
    path = tmp_path / 'own.py'
    for text, said in (('x = y', "NameError.: name 'y'"), ('x = 1 + None', 'TypeError')):
        path.write_text(text)
        with pytest.raises(ValueError, match=f'own.py.*{said}'):
            load_config(path)


def test_the_runner_of_mmengine_is_refused_by_name(tmp_path):
    loader = dict(batch_size=2, num_workers=0, dataset=Numbers(4), sampler=dict(type='DefaultSampler', shuffle=False))
    runner = ForeignRunner(
        Linear(), str(tmp_path), train_dataloader=loader, train_cfg=dict(type='TrainLoop', max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), default_scope='sapiens', experiment_name='foreign',
    )  # fmt: skip
    with pytest.raises(
        TypeError, match=r'TrainLoop .*not mmengine.runner.runner.Runner: from sapiens.engine import Runner'
    ):
        runner.train()
