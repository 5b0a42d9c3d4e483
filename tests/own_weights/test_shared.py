"""All weights on one encoder: from a model of all tasks to six files, within the limits of the package, and back."""

import json

import pytest
import torch
from mmengine.logging import MMLogger

from sapiens import weights
from sapiens.apis import load_model
from sapiens.checkpoints import ZOO, read_weights
from sapiens.commands import convert
from sapiens.own_weights import shared as module
from sapiens.own_weights.probe import probe
from sapiens.own_weights.recipes import ALL, GROUPS, JOINT_CONFIG, KEYPOINTS, OWN, RECIPES
from sapiens.own_weights.shared import join_shipped, joint_checkpoint, refuse_too_much, single_checkpoint
from sapiens.registry import MODELS
from sapiens.utils.checkpoint import read_checkpoint, save_weights
from sapiens.utils.config import load_config
from sapiens.utils.loggers import quiet_loggers

from ..apis.tiny import lively
from .test_train import Recorded

ENCODER = GROUPS[ALL].encoder
POSE, MORE = ZOO['sapiens-tiny-pose17'], ZOO['sapiens-tiny-pose133']


@pytest.fixture(scope='module')
def joint(tmp_path_factory):
    """A checkpoint of a training of all tasks: random weights."""
    torch.manual_seed(0)
    with quiet_loggers(MMLogger.get_current_instance()):
        model = MODELS.build(load_config(JOINT_CONFIG).model)
        model.init_weights()
    for part in (model.backbone, *(part for name, part in model.tasks.items() if name != 'person')):  # see made.py
        lively(part)
    path = tmp_path_factory.mktemp('joint') / 'iter_40.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=40, task='multi')), path)
    return path


@pytest.fixture(scope='module')
def packed(joint, tmp_path_factory):
    """The training and the folder of the packed files."""
    folder = tmp_path_factory.mktemp('all')
    (folder / 'photographs').mkdir()
    training = Recorded(
        GROUPS[ALL], folder / 'work', folder / 'photographs', 'ours, CC0', people=30, iterations=40, pretraining_iterations=30,
        keypoints_iterations=20, val_people=8, out=folder / 'out', say=str,
    )  # fmt: skip
    training.calls, training.weights = [], joint.read_bytes()
    return training, training.run(10), folder / 'out'


def test_six_files_and_an_encoder_within_the_limits(packed):
    _, made, folder = packed
    assert {path.name for path in folder.glob('*.safetensors')} == {
        ENCODER,
        *(f'{entry.name}.safetensors' for entry in OWN),
    }
    sizes = [path.stat().st_size for path in folder.glob('*.safetensors')]
    assert len(made) == 6 and max(sizes) <= weights.LARGEST and sum(sizes) <= weights.LARGEST_TOGETHER
    for entry, one in zip(OWN, made, strict=True):
        card = json.loads(one.card.read_text())
        assert card['files'].keys() == {ENCODER, f'{entry.name}.safetensors'} and card['iteration'] == 40
        assert card['limits'] == RECIPES[entry.name.rpartition('-')[2]].limits and one.weights.parent == folder


def test_steps_of_all_weights(packed):
    training, _, folder = packed
    kinds = [call[0] for call in training.calls]
    assert kinds == ['render'] * 4 + ['train'] * 3 + ['test'] * 6
    keypoints, joint = training.calls[5:7]
    assert keypoints[1] == training.recipe.keypoints and joint[1] == JOINT_CONFIG
    for call, start in (
        (keypoints, training.root / 'pretraining/iter_30.pth'),
        (joint, training.folder / 'keypoints.pth'),
    ):
        assert f'load_from={start}' in call
    learned = read_checkpoint(training.folder / 'keypoints.pth').state_dict
    assert {key.split('.')[1] for key in learned if key.startswith('tasks.')} == {'pose'}
    outs = [call[call.index('--out') + 1].removeprefix(f'{folder.parent}/work/people/') for call in training.calls[:4]]
    assert outs == ['synthetic/val', 'several/synthetic/val', 'synthetic/train', 'several/synthetic/train']
    numbers = [call[call.index('--num') + 1] for call in training.calls[:4]]
    assert numbers == ['8', '8', '30', '10'], 'groups are in proportion'
    assert [call[1] for call in training.calls[7:]] == [entry.config for entry in OWN]


def test_the_training_begins_with_the_encoder_and_the_head_of_the_keypoints(tmp_path):
    torch.manual_seed(0)
    with quiet_loggers(MMLogger.get_current_instance()):
        single = MODELS.build(load_config(RECIPES[ALL].keypoints).model)
        model = MODELS.build(load_config(JOINT_CONFIG).model)
        lively(single)
    torch.save(dict(state_dict=single.state_dict()), tmp_path / 'iter_20.pth')
    state = read_checkpoint(joint_checkpoint(tmp_path / 'iter_20.pth', 'pose', tmp_path / 'joint.pth')).state_dict
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and missing and not any(name.startswith(('backbone.', 'tasks.pose.')) for name in missing)
    assert torch.equal(model.tasks['pose'].head.final_layer.weight, single.head.final_layer.weight)


def test_each_is_its_part_of_the_training(packed, joint, monkeypatch):
    monkeypatch.setattr(weights, 'FOLDER', packed[2])
    state = torch.load(joint, weights_only=True)['state_dict']
    for entry in OWN:
        found = read_weights(entry.name).state_dict
        for key, value in found.items():
            wanted = state.get(key, state.get(f'tasks.{entry.task}.{key}'))
            if key == 'backbone.pos_embed' and entry.task == 'person':
                assert value.shape == (1, 256, 192) and wanted.shape == (1, 48, 192)
                continue
            wanted = wanted[:17] if entry is POSE and key.startswith(module.LAST_LAYER) else wanted
            assert torch.equal(value, wanted.half()), (entry.name, key)


def test_copies_of_them_are_whole(packed, tmp_path, monkeypatch):
    """Weights with a shared encoder convert to one file that needs no other."""
    monkeypatch.setattr(weights, 'FOLDER', packed[2])
    whole = read_weights(POSE.name).state_dict
    for options, prefix in (((), ''), (('--part', 'encoder'), 'backbone.')):
        convert.main(['convert', POSE.name, str(tmp_path / 'copy.safetensors'), *options])
        found = read_checkpoint(tmp_path / 'copy.safetensors').state_dict
        wanted = {key.removeprefix(prefix): value for key, value in whole.items() if key.startswith(prefix)}
        assert found.keys() == wanted.keys() and all(torch.equal(value, wanted[key]) for key, value in found.items())
    save_weights(whole, tmp_path / 'itself.safetensors', dict(encoder_file='itself.safetensors'))
    with pytest.raises(ValueError, match="its encoder, 'itself.safetensors', names another file"):
        read_checkpoint(tmp_path / 'itself.safetensors')


def test_the_body_of_both_poses_is_the_same(packed, monkeypatch):
    """COCO's 17 keypoints are the first of the 133."""
    monkeypatch.setattr(weights, 'FOLDER', packed[2])
    few, many = (probe(load_model(entry.name, device='cpu', flip_test=False)) for entry in (POSE, MORE))
    for name in few:
        assert torch.allclose(torch.tensor(few[name]['points']), torch.tensor(many[name]['points'][:17]), atol=0.02)


@pytest.fixture
def keypoints(tmp_path, monkeypatch):
    """A training of both poses alone: random weights of the config of the larger one."""
    monkeypatch.setattr(weights, 'read_card', lambda name: dict(commit=name))
    torch.manual_seed(1)
    with quiet_loggers(MMLogger.get_current_instance()):
        model = MODELS.build(load_config(MORE.config).model)
        lively(model)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=40)), tmp_path / 'iter_40.pth')
    (tmp_path / 'photographs').mkdir()
    training = Recorded(
        GROUPS[KEYPOINTS], tmp_path / 'work', tmp_path / 'photographs', 'ours, CC0', people=30, iterations=40,
        val_people=8, from_shipped=True, out=tmp_path / 'out', say=str,
    )  # fmt: skip
    training.calls, training.weights = [], (tmp_path / 'iter_40.pth').read_bytes()
    return training, model.state_dict()


def test_one_training_makes_both_poses(keypoints, monkeypatch):
    """They share an encoder of their own, beside that of the other weights."""
    training, state = keypoints
    made = training.run(10)
    assert [call[0] for call in training.calls] == ['render', 'render', 'train', 'test', 'test']
    assert training.calls[2][1] == MORE.config and f'load_from={MORE.name}' in training.calls[2]
    cards = [json.loads(one.card.read_text()) for one in made]
    assert [card['made_from']['weights before'] for card in cards] == [dict(commit=MORE.name)] * 2
    folder, encoder = training.out, GROUPS[KEYPOINTS].encoder
    assert encoder != ENCODER
    assert {path.name for path in folder.glob('*.safetensors')} == {
        encoder, f'{POSE.name}.safetensors', f'{MORE.name}.safetensors'
    }  # fmt: skip
    assert [card['files'].keys() for card in cards] == [
        {encoder, f'{entry.name}.safetensors'} for entry in (POSE, MORE)
    ]
    monkeypatch.setattr(weights, 'FOLDER', folder)
    few, many = (read_weights(entry.name).state_dict for entry in (POSE, MORE))
    assert all(torch.equal(value, state[key].half()) for key, value in many.items())
    last = {key for key in many if key.startswith(module.LAST_LAYER)}
    assert last and all(torch.equal(few[key], many[key][:17] if key in last else many[key]) for key in many)


def test_a_training_of_all_goes_on_from_them(packed, joint, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, 'FOLDER', packed[2])
    state = torch.load(joint, weights_only=True)['state_dict']
    found = read_checkpoint(join_shipped(OWN, tmp_path / 'shipped.pth')).state_dict
    assert found.keys() == state.keys()
    assert all(torch.equal(value, state[key].half().float()) for key, value in found.items())
    other = torch.load(joint, weights_only=True)
    other['state_dict']['backbone.patch_embed.projection.bias'] += 1
    torch.save(other, tmp_path / 'other.pth')
    monkeypatch.setattr(
        module, 'read_weights', lambda name: read_checkpoint(
            single_checkpoint(tmp_path / 'other.pth' if 'seg' in name else joint, ZOO[name], tmp_path / 'x.pth')
        ),
    )  # fmt: skip
    said = []
    again = read_checkpoint(join_shipped(OWN, tmp_path / 'shipped.pth', said.append)).state_dict
    assert said == ['sapiens-tiny-seg28 has another encoder than sapiens-tiny-pose133, whose encoder is taken']
    bias = 'backbone.patch_embed.projection.bias'
    assert again.keys() == state.keys() and torch.equal(again[bias], state[bias])


def test_cards_have_the_history_of_heads_and_encoder(keypoints, tmp_path):
    training = Recorded(
        GROUPS[ALL], tmp_path / 'all', tmp_path / 'photographs', 'ours, CC0', from_shipped=True, say=str
    )
    encoder = dict(commit=MORE.name)
    assert training.state['before'] == {
        entry.name: encoder if entry.task == 'pose' else dict(commit=entry.name, encoder=encoder) for entry in OWN
    }


def test_a_new_encoder_replaces_the_former_one(packed, monkeypatch):
    """Six files are replaced together, and nothing else in the folder is touched."""
    training, _, folder = packed
    (folder / 'README').write_text('mine')
    before = (folder / ENCODER).read_bytes()
    state = torch.load(training.folder / 'run/iter_40.pth', weights_only=True)
    state['state_dict']['backbone.patch_embed.projection.bias'] += 0.1
    torch.save(state, training.folder / 'run/iter_40.pth')
    assert len(training.run(10)) == 6 and (folder / ENCODER).read_bytes() != before and (folder / 'README').exists()
    monkeypatch.setattr(weights, 'LARGEST_TOGETHER', 1000)
    with pytest.raises(ValueError, match='bytes of weights, more than 1000'):
        refuse_too_much(folder)
