"""Estimators and the tasks of dense ones. :mod:`sapiens.models` exports them."""
