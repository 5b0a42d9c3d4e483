"""Decoder heads. :mod:`sapiens.models` exports them."""
