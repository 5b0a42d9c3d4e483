"""Losses. :mod:`sapiens.models` exports them."""
