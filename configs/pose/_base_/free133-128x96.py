"""The recipe of synthetic133-128x96.py for the weights of the package: what photographs have and renderings lack is added in training.

Command: docs/weights.md.
"""

_base_ = './synthetic133-128x96.py'
