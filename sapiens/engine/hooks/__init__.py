"""Hooks of training and tests. :mod:`sapiens.engine` exports them."""
