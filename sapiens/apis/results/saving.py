"""Options of saving: which files are written and how results are drawn."""

import math
from dataclasses import dataclass

from sapiens.metainfo.palettes import PALETTES
from sapiens.visualization.layout import NOTHING
from sapiens.visualization.people import STYLES

from ..writers.pose_formats import LAYOUTS

__all__ = ['CHOICES', 'Saving', 'default_background']

# Options with a fixed set of values; the default comes first.
CHOICES = dict(
    json_layout=LAYOUTS,
    picture_format=('jpg', 'png'),
    map_format=('npy', 'png'),
    style=STYLES,
    palette=PALETTES,
    normal_frame=('published', 'camera'),
    background=('gray', 'black', 'white'),
    light=('srgb', 'linear'),
    colors=('predicted', 'photo'),
)
# Gray levels of pixels without a value. Gray is the published one.
LEVELS = dict(gray=NOTHING, black=0, white=255)


def default_background(cut_out: bool) -> str:
    """Return the color outside the mask where none is chosen: black where the maps are cut out too, as in the published pictures
    of normals."""
    return 'black' if cut_out else 'gray'


@dataclass(frozen=True)
class Saving:
    """Which files are written and how results are drawn.

    Attributes:
        kinds: kinds of files that the result classes declare; None for the default ones of each class.
        extra: kinds that are written in addition.
        json_layout: 'plain', 'published' or 'lite'; see :func:`sapiens.apis.writers.pose_formats.pose_document`.
        picture_format: 'jpg' or 'png'.
        map_format: 'npy' or 'png', for label maps and masks.
        style, threshold, radius, thickness, show_boxes, show_indices: drawing of people; see
            :func:`sapiens.visualization.people.draw_people`.
        palette: of keypoints and classes; see :func:`sapiens.metainfo.palettes.with_palette`.
        legend: write below pictures what their colors mean. Frames of videos have no legend.
        opacity: of the colors of classes and features.
        background: color of pixels outside the mask of people in pictures of depth, normals and other maps: 'gray', 'black' or
            'white'; None for :func:`default_background`.
        depth_limits: depths drawn brightest and black. Fixed limits make images comparable.
        normal_frame: frame of .npy normals: 'published' (x right, y up, z towards the camera) or 'camera' (x right, y down,
            z forward).
        over: what cut-out people are put in front of in pictures of mattes; see :func:`sapiens.apis.backdrop.find_backdrop`.
        light, colors: how; see :meth:`sapiens.apis.MattingResult.composite`.
        fov, distance, extent: point clouds; see :meth:`sapiens.apis.DepthResult.points`.

    Raises:
        ValueError: an unknown value.
    """

    kinds: tuple[str, ...] | None = None
    extra: tuple[str, ...] = ()
    json_layout: str = 'plain'
    picture_format: str = 'jpg'
    map_format: str = 'npy'
    style: str = 'default'
    threshold: float = 0.3
    radius: float | None = None
    thickness: int | None = None
    show_boxes: bool = False
    show_indices: bool = False
    palette: str = PALETTES[0]
    legend: bool = True
    opacity: float = 0.5
    background: str | None = None
    depth_limits: tuple[float, float] | None = None
    normal_frame: str = 'published'
    over: str = 'green'
    light: str = 'srgb'
    colors: str = 'predicted'
    fov: float = 50.0
    distance: float = 2.0
    extent: float = 0.5

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in (*known, *[None] * (name == 'background')):
                raise ValueError(f'{name}={getattr(self, name)!r} is not one of {known}')
        if self.depth_limits is not None and not -math.inf < self.depth_limits[0] < self.depth_limits[1] < math.inf:
            raise ValueError(f'depth_limits={self.depth_limits}: expected two numbers, the nearest depth first')
        if self.radius is not None and not 0 < self.radius < math.inf:
            raise ValueError(f'radius={self.radius}: expected pixels above 0')
        if self.thickness is not None and not 0 <= self.thickness < math.inf:
            raise ValueError(f'thickness={self.thickness}: expected pixels, or 0 for no links')
        if not 0 <= self.opacity <= 1:
            raise ValueError(f'opacity={self.opacity}: expected 0 to 1')

    @property
    def background_level(self) -> int:
        """Gray level of ``background``; see also :meth:`.Result.choose`."""
        return LEVELS[self.background or default_background(False)]
