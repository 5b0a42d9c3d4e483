"""Curation of images for pretraining: filters with scores, one table of verdicts, and tar shards of what is kept.

Stages of a run (:mod:`.run`), each over the same units of inputs:

1. inputs: sources are expanded into lists (:mod:`.sources`).
2. scores: each file is read once; filters that need its pixels alone measure it (:mod:`.scoring`).
3. duplicates: hashes of the whole collection are compared (:mod:`.near`).
4. models: detectors and other models measure what is left.
5. verdicts: thresholds are applied to the scores (:mod:`.verdicts`).
6. shards: the files that are kept are written to tar shards (:mod:`.shards`).
"""

from .settings import Settings, load_settings

__all__ = ['Settings', 'load_settings']
