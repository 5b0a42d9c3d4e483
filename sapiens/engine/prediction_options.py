"""Options of prediction that hold for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ['override_test_cfg']


@contextmanager
def override_test_cfg(model: nn.Module, **options: Any) -> Iterator[None]:
    """Set options of a model's ``test_cfg`` inside a ``with`` block."""
    before = model.test_cfg
    model.test_cfg = {**before, **options}
    try:
        yield
    finally:
        model.test_cfg = before
