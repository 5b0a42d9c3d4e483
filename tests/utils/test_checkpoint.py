import argparse
import os
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from safetensors.torch import save_file

from sapiens.models import MAE, SapiensViT
from sapiens.utils.checkpoint import load_state, read_checkpoint
from sapiens.utils.checkpoint.positions import fit_positions

TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


def encoder(seed=0, **kwargs):
    torch.manual_seed(seed)
    model = SapiensViT(TINY, **{'img_size': 64, **kwargs})
    model.init_weights()
    return model


def mae(seed=0):
    torch.manual_seed(seed)
    backbone = dict(type='SapiensViT', arch=TINY, img_size=64, with_cls_token=True, pos_embed='sincos')
    model = MAE(backbone, decoder=dict(num_layers=1, embed_dims=16, num_heads=2), mask_ratio=0.5)
    model.init_weights()
    return model


def save(path, content):
    save_file(content, path) if path.suffix == '.safetensors' else torch.save(content, path)
    return path


@pytest.mark.parametrize(
    'form', ['flat', 'state_dict', 'model', 'state_dict_ema', 'model_ema', 'safetensors', 'legacy']
)
def test_every_form_gives_the_same_weights(tmp_path, form):
    weights = {key: value.clone() for key, value in encoder().state_dict().items()}
    path = tmp_path / ('x.safetensors' if form == 'safetensors' else 'x.pth')
    if form == 'legacy':
        torch.save(weights, path, _use_new_zipfile_serialization=False)
    else:
        save(path, weights if form in ('flat', 'safetensors') else {form: weights, 'meta': {'epoch': 3}})
    read = read_checkpoint(path)
    assert set(read.state_dict) == set(weights)
    assert all(torch.equal(read.state_dict[key], value) for key, value in weights.items())
    assert read.meta == ({} if form in ('flat', 'safetensors', 'legacy') else {'epoch': 3})


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'module._orig_mod.', '_fsdp_wrapped_module.'])
def test_wrapper_prefixes_are_stripped(tmp_path, prefix):
    save(
        tmp_path / 'x.pth',
        {f'{prefix}layers.0._fsdp_wrapped_module.w': torch.ones(1), f'{prefix}submodule.w': torch.ones(1)},
    )
    assert set(read_checkpoint(tmp_path / 'x.pth').state_dict) == {'layers.0.w', 'submodule.w'}


def test_mmengine_files_with_numpy_and_histories(tmp_path):
    hub = MessageHub.get_instance('test_checkpoint')
    hub.update_scalar('train/loss', 0.5)
    hub.update_info('best', np.float64(0.3))
    meta = dict(dataset_meta=dict(sigmas=np.arange(3.0), pairs=np.array([[1, 2]])), epoch=1)
    save(tmp_path / 'x.pth', dict(state_dict=dict(w=torch.ones(2)), meta=meta, message_hub=hub.state_dict()))
    read = read_checkpoint(tmp_path / 'x.pth')
    assert read.state_dict['w'].tolist() == [1, 1]
    assert read.meta['dataset_meta']['sigmas'].tolist() == [0, 1, 2]


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_malicious_file_runs_nothing(tmp_path):
    target = tmp_path / 'exploded'
    torch.save(dict(state_dict=dict(w=torch.ones(1)), meta=Bomb(target)), tmp_path / 'bomb.pth')
    with open(tmp_path / 'plain.pth', 'wb') as file:
        pickle.dump(Bomb(target), file)
    with pytest.raises(ValueError, match='bomb.pth.*asks to run code.*mkdir.*nothing was run'):
        read_checkpoint(tmp_path / 'bomb.pth')
    with pytest.raises(ValueError, match='plain.pth'):
        read_checkpoint(tmp_path / 'plain.pth')
    assert not target.exists()
    torch.load(tmp_path / 'bomb.pth', weights_only=False)
    assert target.exists(), 'the bomb of this test would explode if it were unpickled'


def test_names_that_only_wrappers_tell_apart_are_refused(tmp_path):
    save(tmp_path / 'x.pth', {'module.w': torch.ones(1), 'w': torch.zeros(1)})
    with pytest.raises(ValueError, match="both 'module.w' and 'w'"):
        read_checkpoint(tmp_path / 'x.pth')


def test_objects_of_training_libraries_become_placeholders(tmp_path):
    from mmengine.config import ConfigDict

    counts = defaultdict(list, a=[1])
    args = argparse.Namespace(out=tmp_path, cfg=ConfigDict(a=ConfigDict(b=1)))
    save(tmp_path / 'x.pth', dict(model=dict(w=torch.ones(2)), args=args, meta=dict(epoch=3, counts=counts)))
    read = read_checkpoint(tmp_path / 'x.pth')
    assert read.state_dict['w'].tolist() == [1, 1] and read.meta == dict(epoch=3, counts=dict(a=[1]))


def test_unpickling_stays_restricted(tmp_path, monkeypatch):
    calls, load = [], torch.load
    monkeypatch.setattr(torch, 'load', lambda *args, **options: calls.append(options) or load(*args, **options))
    hub = MessageHub.get_instance('test_restricted')
    hub.update_scalar('train/loss', 0.5)
    save(tmp_path / 'x.pth', dict(state_dict=dict(w=torch.ones(2)), message_hub=hub.state_dict()))
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(tmp_path / 'x.pth')
    assert [options['weights_only'] for options in calls] == [True]
    assert set(torch.serialization.get_safe_globals()) == before, 'the allow-list is left as it was'


class Method:
    """Asks for a method of a library whose objects become placeholders."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_method_of_a_known_library_is_not_called(tmp_path):
    save(tmp_path / 'x.pth', dict(state_dict=dict(w=torch.ones(1)), meta=Method(tmp_path / 'touched')))
    with pytest.raises(ValueError, match='x.pth'):
        read_checkpoint(tmp_path / 'x.pth')
    assert not (tmp_path / 'touched').exists()


def test_renamed_safetensors_are_recognized_by_content(tmp_path):
    save(tmp_path / 'x.safetensors', dict(w=torch.ones(2))).rename(tmp_path / 'x.pth')
    assert read_checkpoint(tmp_path / 'x.pth', map_location='cpu').state_dict['w'].tolist() == [1, 1]


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'it is empty'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'git-lfs pointer'),
        (b'<!DOCTYPE html><html>', 'HTML page'),
        (b'garbage', 'cannot be read'),
    ],
)
def test_foreign_files_are_identified(tmp_path, content, message, suffix):
    path = tmp_path / f'x.{suffix}'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf'x.{suffix} \({len(content)} bytes\).*{message}') as refused:
        read_checkpoint(path)
    assert 'weights_only' not in str(refused.value), "no advice of torch's to load it without safety"


def test_truncated_and_foreign_archives(tmp_path):
    save(tmp_path / 'x.pth', encoder().state_dict())
    content = (tmp_path / 'x.pth').read_bytes()
    (tmp_path / 'x.pth').write_bytes(content[:-200])
    with pytest.raises(ValueError, match='it is truncated'):
        read_checkpoint(tmp_path / 'x.pth')
    save(tmp_path / 'old.pth', dict(w=torch.ones(1000)))
    torch.save(dict(w=torch.ones(1000)), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    (tmp_path / 'old.pth').write_bytes((tmp_path / 'old.pth').read_bytes()[:-2000])
    with pytest.raises(ValueError, match='it is truncated'):
        read_checkpoint(tmp_path / 'old.pth')
    save(tmp_path / 'x.safetensors', dict(w=torch.ones(9)))
    (tmp_path / 'x.safetensors').write_bytes((tmp_path / 'x.safetensors').read_bytes()[:-3])
    with pytest.raises(ValueError, match='x.safetensors.*it is truncated'):
        read_checkpoint(tmp_path / 'x.safetensors')
    with pytest.raises(FileNotFoundError, match='there is x.pth'):
        read_checkpoint(tmp_path / 'xx.pth')
    save(tmp_path / 'empty.pth', dict(meta=dict(a=1)))
    with pytest.raises(ValueError, match='holds no weights: its keys are meta'):
        read_checkpoint(tmp_path / 'empty.pth')


def test_encoder_and_whole_model_load_into_each_other():
    whole, alone = mae(1), encoder(2, with_cls_token=True, pos_embed='sincos')
    report = load_state(alone, whole.state_dict())
    assert report.share == 1 and not report.missing
    assert all(name.startswith('neck.') for name in report.unused)
    assert torch.equal(alone.layers[1].attn.qkv.weight, whole.backbone.layers[1].attn.qkv.weight)
    other = mae(3)
    neck = other.neck.decoder_embed.weight.clone()
    report = load_state(other, alone.state_dict())
    assert report.share == 1 and torch.equal(other.neck.decoder_embed.weight, neck)
    assert torch.equal(other.backbone.cls_token, whole.backbone.cls_token)
    assert report.missing == [name for name in other.state_dict() if name.startswith('neck.')] != []


def test_finetuning_from_pretraining_resizes_the_position_embedding():
    source = mae(1)
    model = encoder(2, img_size=(64, 48))
    report = load_state(model, source.state_dict())
    assert report.resized == ['pos_embed 1x17x32 -> 1x12x32'] and 'cls_token' in report.unused
    assert torch.equal(model.pos_embed, fit_positions(source.backbone.pos_embed, model))
    assert 'resized to this model: pos_embed 1x17x32 -> 1x12x32' in str(report)


class Backbone(torch.nn.Module):
    def __init__(self, length=4):
        super().__init__()
        self.stem = torch.nn.Module()
        self.stem.pos_embed = torch.nn.Parameter(torch.zeros(1, length, 3))
        self.norm = torch.nn.BatchNorm1d(3)

    grid_size, num_extra_tokens = (2, 2), 0

    def resize_positions(self, patches, source):
        assert source == (4, 4)
        return patches[:, : self.stem.pos_embed.shape[1]]


class Whole(torch.nn.Module):
    def __init__(self, length=4, fill=0.0):
        super().__init__()
        self.backbone, self.head = Backbone(length), torch.nn.Linear(3, 2)
        for value in self.state_dict().values():
            value.fill_(fill)


def test_any_position_embedding_of_the_backbone_is_resized_and_buffers_count():
    model = Whole()
    report = load_state(model, Whole(16, fill=2).state_dict(), source='sixteen.pth')
    assert report.resized == ['backbone.stem.pos_embed 1x16x3 -> 1x4x3'] and report.share == 1
    assert all((value == 2).all() for value in model.state_dict().values())
    assert str(report).startswith('100.0% of the backbone loaded from sixteen.pth')
    with pytest.raises(ValueError, match=r'backbone\.stem\.pos_embed of the checkpoint has 10 patches'):
        load_state(model, Whole(10).state_dict())
    # 12 position elements, 12 of the norm's parameters and statistics, 1 counter; the head does not count
    source = {key: value for key, value in Whole().state_dict().items() if 'running' in key or 'head' in key}
    assert load_state(model, source, min_share=0).share == pytest.approx(6 / 25)
    with pytest.raises(ValueError, match='24.0% of the backbone.*at least 25%'):
        load_state(model, source, min_share=0.25, source='x.pth')


def test_a_head_cannot_pass_for_the_encoder():
    model = encoder(1)
    whole = {f'backbone.{key}': value for key, value in encoder(2).state_dict().items()}
    report = load_state(model, {**whole, 'ln1.weight': torch.full((32,), 9.0)})
    assert report.unused == ['ln1.weight'] and not (model.ln1.weight == 9).any()


def test_other_shapes_are_left_and_named():
    model, source = encoder(1), encoder(2).state_dict()
    source['ln1.weight'] = torch.zeros(7)
    before = model.ln1.weight.clone()
    report = load_state(model, source)
    assert report.reinitialized == ['ln1.weight 7 in the file, 32 here'] and torch.equal(model.ln1.weight, before)


def test_a_file_that_hardly_fits_is_refused_and_changes_nothing():
    model = encoder(1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    other = SapiensViT(dict(TINY, embed_dims=64), img_size=64).state_dict()
    with pytest.raises(ValueError, match=r'only 0\.3% of the model would be loaded'):
        load_state(model, other)
    partly = {key: value + 1 for key, value in before.items() if key.startswith('layers.0')}
    with pytest.raises(ValueError, match='of the model would be loaded'):
        load_state(model, partly)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    load_state(model, partly, min_share=0.1)


def test_pretrained_init_cfg_loads_and_reports(tmp_path):
    source = encoder(5)
    save(tmp_path / 'clean.pth', source.state_dict())
    model = encoder(6, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'clean.pth')))
    assert torch.equal(model.layers[0].ffn.layers[1].weight, source.layers[0].ffn.layers[1].weight)


@pytest.mark.parametrize('value', [float('nan'), float('-inf'), torch.int32, torch.complex64, torch.bool])
def test_values_that_are_not_weights(value):
    """Weights of a diverged training, or quantized ones without their scale, give results without meaning."""
    torch.manual_seed(0)
    problem = 'not finite' if isinstance(value, float) else str(value)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    weights = {name: tensor + 1 for name, tensor in before.items()}
    if isinstance(value, float):
        weights['1.weight'][2] = value
    else:
        weights['1.weight'] = weights['1.weight'].to(value)
    with pytest.raises(ValueError, match=rf'x\.pth: 1\.weight has values .*{problem}.* Nothing was changed'):
        load_state(model, weights, source='x.pth')
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    weights['1.weight'] = before['1.weight'].half()
    assert len(load_state(model, weights).loaded) == 7
