import shutil

import pytest

from sapiens import weights
from sapiens.own_weights.pack import pack

from .made import ABOUT, checkpoint


@pytest.fixture(scope='package')
def packed(tmp_path_factory):
    """A folder with random weights of keypoints, parts and people."""
    folder = tmp_path_factory.mktemp('weights')
    for name in ('sapiens-tiny-pose17', 'sapiens-tiny-seg28', 'sapiens-tiny-person'):
        pack(name, checkpoint(name, tmp_path_factory.mktemp('training')), ABOUT, folder=folder, say=str)
    return folder


@pytest.fixture
def shipped(packed, tmp_path, monkeypatch):
    """The same, as the folder of the package; a copy."""
    folder = tmp_path / 'weights'
    shutil.copytree(packed, folder)
    monkeypatch.setattr(weights, 'FOLDER', folder)
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A version of the package without weights."""
    monkeypatch.setattr(weights, 'FOLDER', tmp_path / 'none')


@pytest.fixture(autouse=True)
def no_own_weights():
    """Instead of that of all tests: here the folder of the package is seen as it is."""
