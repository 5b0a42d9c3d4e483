"""How a pipeline says that a sample is not worth training on."""

__all__ = ['Rejected']


class Rejected(Exception):
    """The sample came out useless, though nothing is wrong with its file: the data sets draw another one. The text is the
    reason."""
