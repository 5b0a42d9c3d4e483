"""The published checkpoints by name. The table and its functions live in :mod:`sapiens.utils.zoo`, where every part of the
package that reads checkpoints can use them."""

from sapiens.utils.zoo import ZOO, Entry, find, resolve_checkpoint, resolve_config

__all__ = ['ZOO', 'Entry', 'find', 'resolve_checkpoint', 'resolve_config']
