"""Numbers with their noun."""

__all__ = ['count_of']


def count_of(number: int, noun: str, nouns: str = '') -> str:
    """Write a number and what it counts: '1 image', '2 images', '1,200 images'.

    Args:
        number: how many.
        noun: name of one.
        nouns: name of several; default: with an s.
    """
    return f'{number:,} {noun if number == 1 else nouns or f"{noun}s"}'
