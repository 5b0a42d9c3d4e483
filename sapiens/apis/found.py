"""What a run found in its inputs, in one line each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sapiens.utils.counting import count_of

__all__ = ['Found', 'describe_frames', 'describe_images']

LISTED = 5  # names at most


@dataclass(frozen=True)
class Found:
    """What a result shows.

    Attributes:
        people: their number.
        keypoints: number of their keypoints that were predicted.
        drawn: number of these with at least the score of drawn keypoints.
    """

    people: int
    keypoints: int
    drawn: int


def describe_images(found: Sequence[tuple[str, Found]], threshold: float) -> str:
    """Describe images, pairs of a name and what it shows.

    For example: '13 images, 27 people; nobody found in 2: a.jpg, b.jpg; 11 of 34 keypoints reach 0.3'.
    """
    nobody = [name for name, one in found if not one.people]
    more = f' and {len(nobody) - LISTED} more' if len(nobody) > LISTED else ''
    empty = [f'nobody found in {len(nobody)}: {", ".join(nobody[:LISTED])}{more}'] if nobody else []
    people = sum(one.people for _, one in found)
    counts = f'{count_of(len(found), "image")}, {count_of(people, "person", "people")}'
    return '; '.join([counts, *empty, *_keypoints([one for _, one in found], threshold)])


def describe_frames(found: Sequence[Found], threshold: float) -> str:
    """Describe a video: '240 frames, at most 2 people at once; nobody found in 12 frames; 900 of 8000 keypoints reach 0.3'."""
    most, nobody = max(one.people for one in found), sum(not one.people for one in found)
    empty = [f'nobody found in {count_of(nobody, "frame")}'] if nobody else []
    counts = f'{count_of(len(found), "frame")}, at most {count_of(most, "person", "people")} at once'
    return '; '.join([counts, *empty, *_keypoints(found, threshold)])


def _keypoints(found: Iterable[Found], threshold: float) -> list[str]:
    drawn, total = (sum(values) for values in zip(*((one.drawn, one.keypoints) for one in found), strict=True))
    return [f'{drawn} of {total} keypoints reach {threshold:g}'] if total else []
