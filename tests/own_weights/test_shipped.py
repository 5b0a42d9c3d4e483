"""Every file of weights in the package: its checksum, its size, and what it predicts for the pictures of the package."""

import json
import socket

import pytest

from sapiens.apis import load_model
from sapiens.apis.own_models import is_here
from sapiens.checkpoints import ZOO
from sapiens.own_weights.pack import CARD
from sapiens.own_weights.probe import TOLERANCE, differences, probe
from sapiens.weights import LARGEST_TOGETHER, check_files, read_card, weights_folder

from .made import OWN

SHIPPED = [name for name in OWN if is_here(ZOO[name])]


def require_some():
    if not SHIPPED:
        pytest.skip('this version of the package has no weights of its own')


def test_files_are_those_of_the_cards():
    require_some()
    assert [fault for name in SHIPPED for fault in check_files(name)] == []
    files = {file for name in SHIPPED for file in read_card(name)['files']}
    assert {path.name for path in weights_folder().glob('*.safetensors')} == files
    assert {path.stem for path in weights_folder().glob('*.json')} == set(SHIPPED)
    assert sum((weights_folder() / file).stat().st_size for file in files) <= LARGEST_TOGETHER
    for name in SHIPPED:
        assert all(read_card(name)[key] for key in CARD) and read_card(name)['config'] == ZOO[name].config


@pytest.mark.parametrize('name', SHIPPED or ['none'])
def test_they_predict_what_the_card_says_without_a_network(name, monkeypatch):
    require_some()
    check_predictions(name, monkeypatch)


def check_predictions(name, monkeypatch):
    monkeypatch.setattr(socket.socket, 'connect', lambda *_: pytest.fail('a connection was opened'))
    expected = read_card(name)['predictions']
    kind = next(iter(next(iter(expected.values()))))
    found = differences(probe(load_model(name, device='cpu')), expected)
    assert max(found.values()) <= TOLERANCE[kind], found


def test_the_checks_see_faults(shipped, monkeypatch):
    """The same checks on random weights, whole and damaged."""
    name = 'sapiens-tiny-seg28'
    assert check_files(name) == []
    check_predictions(name, monkeypatch)
    card = read_card(name)
    for row in card['predictions'].values():
        row['labels'] = [[(label + 1) % 28 for label in line] for line in row['labels']]
    (shipped / f'{name}.json').write_text(json.dumps(card))
    with pytest.raises(AssertionError):
        check_predictions(name, monkeypatch)
    file = shipped / f'{name}.safetensors'
    file.write_bytes(file.read_bytes()[:-1] + b'\xff')
    (fault,) = check_files(name)
    assert 'has the sha256' in fault and file.name in fault
    file.unlink()
    assert check_files(name) == [f'{name}: {file} is missing']
