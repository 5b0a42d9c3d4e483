import gc

import pytest
from mmengine.logging import MMLogger

from .scripts import leave_configs_unformatted

leave_configs_unformatted()


def pytest_collection_modifyitems(items):
    """Files of tests/integration take the longest. Workers take files in this order, and the short ones fill the end."""
    items.sort(key=lambda item: '/integration/' not in item.nodeid)


def pytest_collection_finish():
    """A training collects garbage several times: it need not search what was imported for all tests."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_logger_of_another_test():
    """A logger keeps the stream of the test that made it, which is closed when the next one logs."""
    yield
    MMLogger._instance_dict.clear()


@pytest.fixture(autouse=True)
def whole_images_without_a_detector(monkeypatch):
    """What the automatic detector finds depends on the machine and its network. Its own tests call it directly."""
    monkeypatch.setattr('sapiens.apis.detectors.automatic.choose_detector', lambda say=print: 'whole-image')


@pytest.fixture(autouse=True)
def no_own_weights(monkeypatch, tmp_path_factory):
    """A package without weights of its own, whether this version has them or not. Tests in own_weights have others."""
    monkeypatch.setattr('sapiens.weights.FOLDER', tmp_path_factory.getbasetemp() / 'no_weights')
