"""The recipe of synthetic-128x96.py for the weights of the package: what photographs have and renderings lack is added in training.

Command: docs/weights.md.
"""

_base_ = './synthetic-128x96.py'
