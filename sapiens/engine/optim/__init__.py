"""Optimizer steps and parameter groups. :mod:`sapiens.engine` exports them."""
