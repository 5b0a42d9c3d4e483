"""Tests. Packages are adapted before a test imports them: what mmengine imports depends on it."""

import sapiens  # noqa: F401
