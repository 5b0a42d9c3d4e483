"""Maps over the pixels of an image, which datasets read and models predict."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ['MapField']

KINDS = ('labels', 'values', 'vectors', 'unit_vectors')


@dataclass(frozen=True)
class MapField:
    """A map over the pixels of an image: a target ``gt_<name>``, a prediction ``pred_<name>``, or both.

    Attributes:
        name: for example ``'depth'``.
        channels: K of a map (K, H, W); None for a map (H, W).
        kind: ``'labels'`` (integers, never interpolated), ``'values'``, ``'vectors'`` (x and y in the camera frame are the first
            two channels: a mirror negates x, a rotation turns both), or ``'unit_vectors'`` (also of length 1).
        about: data type, unit and convention.
        interpolation: of the labels under geometry: ``'nearest'``, ``'linear'``, or ``'image'`` for values that are averaged
            where the image is averaged, over valid pixels only.
        padding: value outside the image. ``valid_mask`` is False there, unless ``known_outside``.
        known_outside: the padding is the true value outside the image. Nobody is there.
        on_rays: vectors that are points on the rays of their pixels, in the camera frame: x and y follow from z and the
            ``intrinsics`` of the sample, and z is interpolated within surfaces only. Without a file, from ``gt_depth``.
        swap: key of the (256,) uint8 table that exchanges labels in a mirrored image.
        own_validity: the field is valid where ``valid_<name>`` is True, in addition to ``valid_mask``. Otherwise unknown values
            of this field are False in ``valid_mask``, which all fields share.
        folders: names that a dataset's folder of such files may have, the usual one first; () where no file holds it.
        suffixes: of such files.
        reader: ``reader(path, info) -> array`` (H, W) or (H, W, K), where ``info`` holds the options of the dataset. With
            ``own_validity`` it may also return (array, (H, W) bool), where the map has a value; None for everywhere.
        known: ``known(array) -> (H, W) bool``, where the map has a value; None where it has one everywhere.
        doubt: ``doubt(values) -> str``, what is strange about the known values (n, K) of one map, '' if nothing is. Training and
            ``sapiens check`` report what holds for most maps.
    """

    name: str
    channels: int | None = None
    kind: str = 'values'
    about: str = ''
    interpolation: str = 'nearest'
    padding: float = 0
    known_outside: bool = False
    on_rays: bool = False
    swap: str | None = None
    own_validity: bool = False
    folders: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    reader: str | Callable | None = None
    known: str | Callable | None = None
    doubt: str | Callable | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f'field {self.name!r}: kind={self.kind!r} is not one of {KINDS}')
        fitting = dict(labels=('nearest',), values=('nearest', 'linear', 'image')).get(
            self.kind, ('nearest', 'linear')
        )
        if self.interpolation not in fitting:
            raise ValueError(
                f'field {self.name!r}: interpolation={self.interpolation!r} does not fit kind={self.kind!r}'
            )
        if self.on_rays and (self.kind, self.channels) != ('vectors', 3):
            raise ValueError(f'field {self.name!r}: on_rays needs 3 channels of kind vectors')

    @property
    def leading(self) -> tuple[int, ...]:
        """Dimensions before (H, W)."""
        return () if self.channels is None else (self.channels,)
