"""Which detector is chosen, what is said about it, and that it is loaded only where it is needed."""

import importlib.machinery
import importlib.util
import types
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from sapiens.apis import load_model
from sapiens.apis.detectors import automatic, build_detector
from sapiens.apis.detectors.automatic import Automatic, choose_detector  # before the patch of conftest.py
from sapiens.checkpoints import find

from .tiny import config, picture


def faster():
    from torchvision.models import get_model_weights  # after sapiens

    return get_model_weights(automatic.FETCHED).DEFAULT


@pytest.fixture
def said():
    return []


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine without weights, MMDetection and network."""
    monkeypatch.setenv('SAPIENS_CHECKPOINT_ROOT', str(tmp_path / 'root'))
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))

    def refuse(*args, **options):
        raise URLError('no route to host')

    monkeypatch.setattr(urllib.request, 'urlopen', refuse)
    return tmp_path


def test_offline_it_is_the_embedded_one(said, monkeypatch):
    monkeypatch.setattr(automatic, 'has_detector', lambda: True)
    assert choose_detector(said.append) == 'embedded'
    (line,) = said
    assert line.startswith('people are found by sapiens-tiny-person: ') and 'no route to host' in line


def test_without_any_the_image_is_one_person(said):
    """The weights of the package are hidden by conftest.py."""
    assert choose_detector(said.append) == 'whole-image'
    (line,) = said
    assert 'each image is taken as one person' in line and 'no route to host' in line and '--boxes' in line


def test_weights_that_are_here_need_no_network(said, machine):
    file = machine / 'hub/checkpoints' / Path(faster().url).name
    file.parent.mkdir(parents=True)
    file.touch()
    assert choose_detector(said.append) == 'torchvision:fasterrcnn_resnet50_fpn_v2'
    assert said == ['people are found by torchvision:fasterrcnn_resnet50_fpn_v2 (BSD-3-Clause)']


def test_weights_are_fetched_once_with_size_and_license(said, monkeypatch, machine):
    asked = []

    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *reason):
            pass

    monkeypatch.setattr(urllib.request, 'urlopen', lambda request, timeout: asked.append(request.full_url) or Answer())
    monkeypatch.setattr(type(faster()), 'get_state_dict', lambda self, **options: asked.append(options))
    assert choose_detector(said.append) == 'torchvision:fasterrcnn_resnet50_fpn_v2'
    assert asked == [faster().url, dict(progress=True, check_hash=True)]
    assert 'BSD-3-Clause, 167 MB' in said[0] and str(machine / 'hub/checkpoints') in said[0]


def test_a_damaged_download_is_not_used(said, monkeypatch):
    monkeypatch.setattr(automatic, 'has_detector', lambda: True)

    def damaged(request, timeout):
        raise RuntimeError('invalid hash value')

    monkeypatch.setattr(urllib.request, 'urlopen', damaged)
    assert choose_detector(said.append) == 'embedded'
    assert 'invalid hash value' in said[0]


def test_the_published_one_comes_first(said, monkeypatch, machine):
    weights = machine / 'root' / find('sapiens-pose-bbox-detector').files('original')[0]
    spec = importlib.util.find_spec
    places = types.SimpleNamespace(submodule_search_locations=[str(machine / 'mmpose')])
    known = dict(mmdet=importlib.machinery.ModuleSpec('mmdet', None), mmpose=places)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: known.get(name) or spec(name))
    config_file = machine / 'mmpose' / automatic.PUBLISHED_CONFIG
    for path in (weights, config_file):
        path.parent.mkdir(parents=True)
        path.touch()
    assert choose_detector(said.append) == f'mmdet:{config_file},{weights}'
    assert said == ['people are found by the published detector, sapiens-pose-bbox-detector']
    weights.unlink()
    assert not choose_detector(said.append).startswith('mmdet')
    weights.touch()
    known['mmdet'] = None
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: known[name] if name in known else spec(name))
    assert not choose_detector(said.append).startswith('mmdet')


def test_the_config_of_the_published_one_is_where_mmpose_installs_it():
    spec = importlib.util.find_spec('mmpose')
    if spec is None:
        pytest.skip('mmpose is not installed')
    assert Path(spec.origin).parent.joinpath(automatic.PUBLISHED_CONFIG).is_file()


def test_it_is_loaded_by_the_first_image_without_boxes(monkeypatch):
    loaded = []

    def load(text):
        loaded.append(text)
        return lambda images: [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in images]

    monkeypatch.setattr(automatic, 'choose_detector', lambda say=print: 'embedded')
    detector = Automatic(load)
    assert not loaded
    for _ in range(2):
        detector([picture((60, 40))])
    assert loaded == ['embedded']


def test_models_of_people_have_it_unless_told_otherwise(monkeypatch):
    chosen = []
    monkeypatch.setattr(automatic, 'choose_detector', lambda say=print: chosen.append(1) or 'whole-image')
    image = picture((60, 40))
    model = load_model(config('pose'), device='cpu')
    assert len(model(image, boxes=[[5, 5, 30, 50], [1, 1, 9, 9]])) == 2 and not chosen
    assert model(image).boxes.tolist() == [[0, 0, 40, 60]] and len(chosen) == 1
    assert load_model(config('pose'), device='cpu', detector='whole-image')(image).boxes.tolist() == [[0, 0, 40, 60]]
    assert len(chosen) == 1


def test_an_unknown_detector_lists_it():
    with pytest.raises(ValueError, match='expected auto, whole-image, embedded'):
        build_detector('best')
