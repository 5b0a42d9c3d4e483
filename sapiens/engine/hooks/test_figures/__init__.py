"""Figures of a test (``sapiens test --show-dir``)."""
