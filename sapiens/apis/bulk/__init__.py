"""Inference on any number of images: results in tables, COCO files or tar shards instead of a file for each image.

The images are cut into units (:mod:`.units`): a tar shard, or some hundred entries of a list. A worker (:mod:`.worker`) loads the
models once and writes one file for each unit (:mod:`.forms`), by an engine of :mod:`sapiens.bulk`. The run (:mod:`.run`) joins
what belongs into one file.
"""

from .forms import FORMS

__all__ = ['FORMS']
