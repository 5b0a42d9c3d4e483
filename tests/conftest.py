import pytest
from mmengine.logging import MMLogger


@pytest.fixture(autouse=True)
def no_logger_of_another_test():
    """A logger keeps the stream of the test that made it, which is closed when the next one logs."""
    yield
    MMLogger._instance_dict.clear()
