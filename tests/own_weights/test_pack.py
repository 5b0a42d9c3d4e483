"""From a checkpoint of a training to a file and its card."""

import json

import pytest
import torch
from safetensors import safe_open

from sapiens import weights
from sapiens.checkpoints import ZOO, read_weights
from sapiens.own_weights import pack as module
from sapiens.own_weights.pack import CARD, pack, require_own
from sapiens.own_weights.probe import TOLERANCE, differences, leave_out_ties, pictures
from sapiens.utils.checkpoint import read_checkpoint

from .made import ABOUT, checkpoint

POSE, SEG = 'sapiens-tiny-pose17', 'sapiens-tiny-seg28'


def test_halves_the_weights_and_nothing_else(packed, tmp_path):
    single = torch.load(checkpoint(POSE, tmp_path), weights_only=True)['state_dict']
    half = read_checkpoint(packed / f'{POSE}.safetensors')
    assert half.state_dict.keys() == single.keys() and half.meta == dict(task='pose', name=POSE)
    for name, value in half.state_dict.items():
        assert value.dtype == torch.float16 and torch.equal(value, single[name].half())
    assert (packed / f'{POSE}.safetensors').stat().st_mode & 0o777 == 0o644


def test_the_card_says_what_it_is_and_what_it_predicts(packed):
    card = json.loads((packed / f'{POSE}.json').read_text())
    assert {key: card[key] for key in CARD} == ABOUT
    assert (card['name'], card['licence'], card['config'], card['iteration']) == (
        POSE,
        'apache-2.0',
        ZOO[POSE].config,
        7,
    )
    assert card['files'] == {f'{POSE}.safetensors': weights.sha256_of(packed / f'{POSE}.safetensors')}
    assert list(card['predictions']) == [name for name, _ in pictures()] and len(card['predictions']) == 8
    points = torch.tensor([row['points'] for row in card['predictions'].values()])
    assert points.shape == (8, 17, 3) and points[..., :2].std(0).max() > 1, 'predictions do not depend on the picture'


def test_an_average_of_the_weights_is_taken(tmp_path):
    """MMEngine writes the average as state_dict, and the weights of the last step beside it."""
    path = checkpoint(SEG, tmp_path)
    content = torch.load(path, weights_only=True)
    content['ema_state_dict'] = {f'module.{name}': value + 1 for name, value in content['state_dict'].items()}
    torch.save(content, path)
    packed = pack(SEG, path, ABOUT, folder=tmp_path / 'out', say=str)
    name = 'decode_head.conv_seg.weight'
    assert torch.equal(read_checkpoint(packed.weights).state_dict[name], content['state_dict'][name].half())


def test_several_weights_share_an_encoder(tmp_path, monkeypatch):
    paths, folder = {name: checkpoint(name, tmp_path) for name in (POSE, SEG)}, tmp_path / 'out'
    content = {name: torch.load(path, weights_only=True) for name, path in paths.items()}
    encoder = {key: value for key, value in content[POSE]['state_dict'].items() if key.startswith('backbone.')}
    content[SEG]['state_dict'].update(encoder)
    torch.save(content[SEG], paths[SEG])
    shared = 'sapiens-tiny-encoder.safetensors'
    sizes = [pack(name, paths[name], ABOUT, encoder=shared, folder=folder, say=str).bytes for name in (POSE, SEG)]
    assert max(sizes) < 700_000 and (folder / shared).stat().st_size > 5_000_000
    monkeypatch.setattr(weights, 'FOLDER', folder)
    for name in (POSE, SEG):
        assert weights.read_card(name)['files'].keys() == {f'{name}.safetensors', shared}
        found = read_weights(name).state_dict
        assert found.keys() == content[name]['state_dict'].keys()
        assert all(torch.equal(value, content[name]['state_dict'][key].half()) for key, value in found.items())
    with pytest.raises(ValueError, match='holds another encoder: .* tensors differ'):
        pack(POSE, checkpoint(POSE, tmp_path, seed=1), ABOUT, encoder=shared, folder=folder, say=str)
    (folder / shared).unlink()
    with pytest.raises(ValueError, match=f"its encoder is in a second file, '{shared}', which is not beside it"):
        read_weights(POSE)


def test_what_half_precision_cannot_hold_is_refused(tmp_path):
    path = checkpoint(SEG, tmp_path)
    content = torch.load(path, weights_only=True)
    content['state_dict']['decode_head.conv_seg.bias'][0] = 1e6
    torch.save(content, path)
    with pytest.raises(ValueError, match=r'decode_head.conv_seg.bias has values up to 1e\+06'):
        pack(SEG, path, ABOUT, folder=tmp_path / 'out', say=str)
    assert not (tmp_path / 'out').exists()


def test_other_predictions_and_large_files_are_refused(tmp_path, monkeypatch):
    path, folder = checkpoint(SEG, tmp_path), tmp_path / 'out'
    monkeypatch.setattr(module, 'RAW', 1e-9)
    with pytest.raises(ValueError, match='half precision changes raw outputs by'):
        pack(SEG, path, ABOUT, folder=folder, say=str)
    monkeypatch.undo()
    monkeypatch.setattr(weights, 'LARGEST', 1000)
    with pytest.raises(ValueError, match='more than 1000: share the encoder'):
        pack(SEG, path, ABOUT, folder=folder, say=str)
    assert not list(folder.iterdir()), 'a refused file was left'


def test_cards_and_names_are_checked(tmp_path):
    with pytest.raises(ValueError, match='needs exactly made_from.* check limits$'):
        pack(SEG, tmp_path / 'x.pth', {key: '' for key in CARD if key != 'limits'})
    with pytest.raises(ValueError, match='sapiens-seg-1b is published elsewhere'):
        require_own('sapiens-seg-1b')
    assert require_own('seg28').name == SEG


def test_differences_are_in_pixels_and_shares():
    one = {'a': {'points': [[10.0, 20.0, 0.9], [5.0, 5.0, 0.1]]}}
    other = {'a': {'points': [[10.5, 20.0, 0.8], [50.0, 5.0, 0.9]]}}
    assert differences(one, other) == {'a': 0.5}, 'the second point is not sure in both'
    assert differences({'a': {'labels': [[1, 2], [3, 4]]}}, {'a': {'labels': [[1, 2], [3, 0]]}}) == {'a': 0.25}
    boxes = [[0, 0, 10, 10, 0.9], [0, 0, 3, 3, 0.1]]
    assert differences({'a': {'boxes': boxes}}, {'a': {'boxes': [[0, 0, 10, 12, 0.9]]}}) == {'a': 2.0}
    assert differences({'a': {'boxes': boxes}}, {'a': {'boxes': []}}) == {'a': float('inf')}
    values = {'a': {'values': [[0.0, 2.0]]}}
    assert differences({'a': {'values': [[0.5, 2.5]]}}, values) == {'a': 0.5} and TOLERANCE['points'] == 1
    with pytest.raises(ValueError, match='predictions of b, expected those of a'):
        differences({'b': {}}, one)


def test_keypoints_with_two_places_are_not_compared(tmp_path, monkeypatch):
    found = {'a': {'points': [[1, 1, 0.9], [5, 5, 0.9], [7, 7, 0.2]]}, 'b': {'labels': [[1]]}}
    other = {'a': {'points': [[1.5, 1, 0.9], [5, 9, 0.8], [0, 0, 0.9]]}, 'b': {'labels': [[2]]}}
    assert leave_out_ties(found, other) == (1, 2)
    assert [point[2] for point in found['a']['points']] == [0.9, 0.0, 0.2]
    assert differences(found, other) == {'a': 0.5, 'b': 1.0}
    # Many of them are another model.
    monkeypatch.setattr('sapiens.own_weights.pack.leave_out_ties', lambda found, expected: (2, 100))
    with pytest.raises(ValueError, match='half precision moves 2 of 100 keypoints by more than a pixel'):
        pack('pose17', checkpoint('sapiens-tiny-pose17', tmp_path), ABOUT, folder=tmp_path, say=str)
    assert not list(tmp_path.glob('*.json'))
    monkeypatch.setattr('sapiens.own_weights.pack.leave_out_ties', lambda found, expected: (1, 100))
    pack('pose17', checkpoint('sapiens-tiny-pose17', tmp_path), ABOUT, folder=tmp_path, say=str)


def test_tensors_of_the_shared_encoder_have_no_prefix(tmp_path):
    pack(SEG, checkpoint(SEG, tmp_path), ABOUT, encoder='sapiens-tiny-encoder.safetensors', folder=tmp_path, say=str)
    with safe_open(tmp_path / 'sapiens-tiny-encoder.safetensors', 'pt') as file:
        assert 'pos_embed' in file.keys() and not any(name.startswith('backbone.') for name in file.keys())  # noqa: SIM118
