"""The runner that loops of this package need."""

from typing import Any

__all__ = ['require_runner']


def require_runner(runner: Any, loop: type) -> None:
    """Refuse MMEngine's runner, with which a loop would fail later.

    Raises:
        TypeError: a runner without the members of :class:`sapiens.engine.Runner`.
    """
    if not hasattr(runner, 'bare_model'):
        raise TypeError(
            f'{loop.__name__} of this package needs its runner, not {type(runner).__module__}.{type(runner).__name__}: '
            'from sapiens.engine import Runner'
        )
