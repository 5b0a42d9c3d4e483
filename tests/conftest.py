import gc

import pytest
from mmengine.logging import MMLogger
from yapf.yapflib import yapf_api

# The text of a config is formatted twice for each run, at the cost of a second. Without it the text is the same Python.
yapf_api.FormatCode = lambda text, **style: (text, False)


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
