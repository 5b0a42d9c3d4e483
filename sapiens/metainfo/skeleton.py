"""A skeleton: named keypoints and their properties, built from a short dict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .naming import flip_indices, not_known, side_of
from .parsing import check_keys, name_of, names_of, numbers_of, rgb_of

__all__ = ['DEFAULT_SIGMA', 'Skeleton', 'skeleton_from_dict']

LEFT, RIGHT, MIDDLE = (0, 255, 0), (255, 128, 0), (51, 153, 255)
# OKS falloff of keypoints without measured annotation noise: the middle of COCO's body keypoints (0.025 to 0.107).
DEFAULT_SIGMA = 0.05


@dataclass(frozen=True, eq=False)
class Skeleton:
    """K named keypoints. Arrays are read-only.

    Attributes:
        name: for configs and messages.
        keypoints: K distinct names; the position is the id.
        flip_indices: (K,) int64, the id of each keypoint's partner in a mirrored image (its own id on the midline).
        links: (N, 2) int64, keypoint ids to connect in drawings.
        colors: (K, 3) uint8 RGB.
        link_colors: (N, 3) uint8 RGB.
        sigmas: (K,) float64, OKS falloff as a fraction of the square root of the person's area. As COCO defines it, twice
            this is the allowed standard deviation.
        weights: (K,) float64, loss weights.
        upper, lower: ids of the upper and the lower body, for augmentation by halves; may be empty.
        groups: {group: ids}, e.g. body (in COCO's order), foot, face, left_hand, right_hand; may leave keypoints out.
        dataset_name: of mmpose.
        dashed: (N,) bool, links that are drawn with white dashes; None for none.
    """

    name: str
    keypoints: tuple[str, ...]
    flip_indices: np.ndarray
    links: np.ndarray
    colors: np.ndarray
    link_colors: np.ndarray
    sigmas: np.ndarray
    weights: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    dataset_name: str = ''
    dashed: np.ndarray | None = None

    def __post_init__(self):
        for value in [*vars(self).values(), *self.groups.values()]:
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __len__(self) -> int:
        return len(self.keypoints)

    def __repr__(self) -> str:
        return f'Skeleton({self.name!r}, {len(self)} keypoints, {len(self.links)} links)'

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.keypoints)}

    def index(self, name: str) -> int:
        """Id of a keypoint. Raises ValueError with the nearest name if there is none."""
        if name not in self._ids:
            raise ValueError(not_known(f'skeleton {self.name!r}: keypoint', name, self.keypoints))
        return self._ids[name]

    def __contains__(self, name: str) -> bool:
        return name in self._ids


def skeleton_from_dict(data: Mapping) -> Skeleton:
    """Build a skeleton from its short form, in which the skeletons of this package are written.

    Args:
        data: a dict with

            - ``name``; ``keypoints``: list of K names
            - ``links``: list of (name, name) or (name, name, RGB); default none
            - ``flip``: {name: partner} where the left/right naming rule fails; False if no point changes place
            - ``sigmas``: K numbers or one for all; default 0.05 (:data:`DEFAULT_SIGMA`). For figures that compare with
              published OKS use the dataset's own
            - ``weights``: K numbers or one for all; default 1
            - ``colors``: {name: RGB}; default green for left, orange for right, blue for neither. Links likewise,
              blue where they join two sides
            - ``upper``, ``lower``: lists of names; default none, which leaves half-body augmentation without effect
            - ``groups``: {group: list of names}; default none
            - ``dataset_name``: default ``name``

    Raises:
        ValueError: an unknown or missing key, an unknown, repeated or partnerless keypoint, a wrong count or range.
    """
    optional = ['links', 'flip', 'sigmas', 'weights', 'colors', 'upper', 'lower', 'groups', 'dataset_name']
    owner = f'skeleton {name_of(data)!r}'
    check_keys(data, ['name', 'keypoints'], optional, owner)
    name = data['name']
    keypoints = names_of(data['keypoints'], owner)
    ids = {keypoint: index for index, keypoint in enumerate(keypoints)}

    def select(names: Sequence[str], where: str) -> np.ndarray:
        if isinstance(names, str):
            raise ValueError(f'{owner}: {where} must be a list of names, not the string {names!r}')
        for item in names:
            if item not in ids:
                raise ValueError(not_known(f'{owner}: keypoint in {where}', item, keypoints))
        if len(set(names)) != len(names):
            raise ValueError(f'{owner}: {where} names a keypoint twice')
        return np.array([ids[item] for item in names], np.int64)

    colors = np.array([_side_color(keypoint) for keypoint in keypoints], np.uint8)
    for keypoint, color in data.get('colors', {}).items():
        colors[select([keypoint], 'colors')] = rgb_of(color, f'{owner}: color of {keypoint}')
    links, link_colors = [], []
    for link in data.get('links', ()):
        if isinstance(link, str) or len(link) not in (2, 3):
            raise ValueError(f'{owner}: a link is (name, name) or (name, name, RGB), not {link!r}')
        links.append(select(link[:2], 'links'))
        default = _side_color(link[0]) if side_of(link[0]) == side_of(link[1]) else MIDDLE
        link_colors.append(rgb_of(link[2], f'{owner}: color of {link[:2]}') if len(link) == 3 else default)
    groups = data.get('groups', {})
    if not isinstance(groups, Mapping):
        raise ValueError(f'{owner}: groups must be a dict {{group: names}}, not {groups!r}')
    return Skeleton(
        name=name,
        keypoints=keypoints,
        flip_indices=flip_indices(keypoints, data.get('flip', True), owner),
        links=np.array(links, np.int64).reshape(-1, 2),
        colors=colors,
        link_colors=np.array(link_colors, np.uint8).reshape(-1, 3),
        sigmas=numbers_of(data.get('sigmas', DEFAULT_SIGMA), len(keypoints), f'{owner}: sigmas'),
        weights=numbers_of(data.get('weights', 1.0), len(keypoints), f'{owner}: weights', zero=True),
        upper=select(data.get('upper', ()), 'upper'),
        lower=select(data.get('lower', ()), 'lower'),
        groups={group: select(names, f'group {group!r}') for group, names in groups.items()},
        dataset_name=data.get('dataset_name', name),
    )


def _side_color(name: str) -> tuple[int, int, int]:
    return {'l': LEFT, 'r': RIGHT, '': MIDDLE}[side_of(name)]
