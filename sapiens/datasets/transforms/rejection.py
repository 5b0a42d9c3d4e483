"""Signal of a pipeline that a sample is not useful for training."""

__all__ = ['Rejected']


class Rejected(Exception):
    """The sample is not useful although its file is good: the dataset draws another one. The text is the reason."""
