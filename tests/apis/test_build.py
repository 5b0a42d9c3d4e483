import logging

import pytest
import torch
from mmengine.logging import MMLogger

from sapiens.apis import build_model, load_encoder
from sapiens.apis.loading.build import read_config
from sapiens.utils.config import load_config

from .export_models import checkpoint, config


def test_weights_and_mode(tmp_path):
    path = checkpoint('pose', tmp_path)
    model = build_model(config('pose'), path, device='cpu')
    saved = torch.load(path, weights_only=True)['state_dict']
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())


def test_options_change_a_copy(tmp_path):
    cfg = config('depth')
    model = build_model(cfg, device='cpu', cfg_options=['model.backbone.arch.num_layers=1'])
    assert len(model.backbone.layers) == 1 == model.cfg.model.backbone.arch.num_layers
    assert cfg.model.backbone.arch.num_layers == 2
    with pytest.raises(ValueError, match="no key 'archh'"):
        read_config(cfg, ['model.backbone.archh=tiny'])


def test_initial_weights_of_the_config_are_not_read():
    cfg = config('normal')
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='/nowhere/weights.pth')
    model = build_model(cfg, device='cpu')
    assert model.cfg.model.backbone.init_cfg.checkpoint == '/nowhere/weights.pth'


def test_random_and_missing_weights_are_reported(tmp_path, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        build_model(config('pose'), device='cpu')
        (record,) = [record for record in caplog.records if record.levelno >= logging.INFO]
        assert record.levelno == logging.WARNING and 'random weights' in record.message
        caplog.clear()
        five = checkpoint('pose', tmp_path)
        skeleton = dict(name='two', keypoints=['left_ear', 'right_ear'], links=[])
        build_model(config('pose', skeleton=skeleton), five, device='cpu', partial=True)
    finally:
        logger.removeHandler(caplog.handler)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert any('head.final_layer.weight 5x16x1x1 in the file, 2x16x1x1 here' in text for text in warnings)


def test_names_that_are_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no config file .*nothing\.py'):
        build_model(tmp_path / 'nothing.py', device='cpu')
    with pytest.raises((FileNotFoundError, ValueError), match='sapiens-pose-9b'):
        build_model('sapiens-pose-9b', device='cpu')
    with pytest.raises((FileNotFoundError, ValueError), match=r'weights\.pth'):
        build_model(config('pose'), tmp_path / 'weights.pth', device='cpu')


def test_weights_of_another_model_are_refused(tmp_path):
    """Their head would be random. Those of an encoder are enough for an autoencoder, which gives features."""
    files = {task: checkpoint(task, tmp_path) for task in ('pose', 'sem_seg', 'depth', 'normal', 'features')}
    for task in ('pose', 'sem_seg', 'depth', 'normal'):
        build_model(config(task), files[task], device='cpu')
        for other in files.keys() - {task}:
            with pytest.raises(ValueError, match=r'(?s)tensors would stay random, such as \S*head.*\nIn the file: '):
                build_model(config(task), files[other], device='cpu')
    two = dict(name='two', keypoints=['left_ear', 'right_ear'], links=[])
    with pytest.raises(ValueError, match='head.final_layer has 5 outputs in the file and 2 here'):
        build_model(config('pose', skeleton=two), files['pose'], device='cpu')
    weights = torch.load(files['features'], weights_only=True)['state_dict']
    encoder = {
        name.removeprefix('backbone.'): value for name, value in weights.items() if name.startswith('backbone.')
    }
    torch.save(encoder, tmp_path / 'encoder.pth')
    assert torch.equal(
        build_model(config('features'), tmp_path / 'encoder.pth', device='cpu').backbone.ln1.weight,
        encoder['ln1.weight'],
    )
    del encoder['layers.1.attn.qkv.weight']
    torch.save(encoder, tmp_path / 'encoder.pth')
    for load in (build_model, load_encoder):
        with pytest.raises(ValueError, match='1 of .* tensors would stay random, such as .*layers.1.attn.qkv.weight'):
            load(config('features'), tmp_path / 'encoder.pth', device='cpu')


def test_weights_that_name_another_task_are_refused(tmp_path):
    """A depth map and a map of another quantity have heads of one shape."""
    path = tmp_path / 'weights.pth'
    state = build_model(config('depth'), device='cpu').state_dict()
    torch.save(dict(state_dict=state, meta=dict(task='depth')), path)
    build_model(config('depth'), path, device='cpu')
    torch.save(dict(state_dict=state, meta=dict(task='albedo')), path)
    with pytest.raises(ValueError, match="is for the task 'albedo', the model for 'depth'"):
        build_model(config('depth'), path, device='cpu')
    build_model(config('depth'), path, device='cpu', partial=True)


def test_an_encoder_takes_the_normalization_of_its_config_without_a_type():
    cfg = load_config('pose/sapiens2_tiny_synthetic308-128x96', {'+model.data_preprocessor.std': [50.0, 60.0, 70.0]})
    encoder = load_encoder(cfg, device='cpu')
    assert encoder.normalizer.std.flatten().tolist() == [50, 60, 70]
