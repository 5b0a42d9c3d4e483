"""Encoders and their interface. :mod:`sapiens.models` exports them."""
