"""Colors that people with color blindness can tell apart, for drawings of skeletons and class lists.

They are chosen so that classes next to each other in the body differ by 20 or more (CIEDE2000), also under simulated deuteranopia
and protanopia, and any two classes by 10 or more. ``python -m tests.metainfo.test_palettes`` measures both palettes.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from . import coco17
from .body_part_classes import CLASS_LISTS
from .classes import ClassList, voc_color
from .naming import side_of
from .skeleton import LEFT, MIDDLE, RIGHT, Skeleton

__all__ = ['PALETTES', 'with_palette']

# The default comes first. "published": the colors of the published models, or those that a list of the user gives.
PALETTES = ('distinct', 'published')

SIDES = {LEFT: (0, 150, 255), RIGHT: (255, 150, 0), MIDDLE: (200, 60, 125)}
BY_SIDE = {'l': SIDES[LEFT], 'r': SIDES[RIGHT], '': SIDES[MIDDLE]}
# Published color: color. The thumb and the pinky have the published colors of the sides.
HANDS = {
    (255, 128, 0): (255, 225, 0),  # thumb
    (255, 153, 255): (225, 60, 0),  # forefinger
    (102, 178, 255): (245, 245, 245),  # middle finger
    (255, 51, 51): (90, 190, 255),  # ring finger
    (0, 255, 0): (110, 40, 200),  # pinky
}
ONLY_FINGERS = set(HANDS) - set(SIDES)
# Published color: color, of the parts of the face of 308 keypoints.
FACE = {
    (255, 255, 255): (255, 255, 255),  # middle and brows
    (192, 64, 128): (75, 135, 135),  # left upper lid
    (64, 32, 192): (135, 60, 45),  # right upper lid
    (64, 192, 128): (210, 165, 255),  # left lower lid
    (64, 192, 32): (150, 180, 135),  # right lower lid
    (0, 192, 0): (150, 180, 0),  # nose
    (192, 0, 0): (165, 105, 255),  # outer lips
    (0, 192, 192): (225, 255, 195),  # inner lips
    (200, 200, 0): (0, 90, 120),  # left ear
    (0, 200, 200): (120, 135, 105),  # right ear
    (128, 192, 64): (60, 15, 255),  # left iris
    (192, 32, 64): (255, 255, 60),  # right iris
    (192, 128, 64): (180, 180, 195),  # left pupil
    (32, 192, 192): (135, 120, 0),  # right pupil
}

# Left parts are blue and violet, right ones yellow, green and brown.
GOLIATH = {
    'Background': (45, 45, 45),
    'Apparel': (148, 251, 255),
    'Chair': (75, 120, 105),
    'Eyeglass': (122, 101, 70),
    'Eyeglass_Frame': (15, 150, 75),
    'Eyeglass_Lenses': (255, 210, 165),
    'Face_Neck': (192, 148, 149),
    'Hair': (227, 195, 104),
    'Headset': (195, 90, 135),
    'Left_Foot': (36, 138, 255),
    'Left_Hand': (55, 96, 230),
    'Left_Lower_Arm': (224, 156, 191),
    'Left_Lower_Leg': (78, 221, 254),
    'Left_Shoe': (0, 73, 88),
    'Left_Sock': (82, 133, 135),
    'Left_Upper_Arm': (79, 97, 142),
    'Left_Upper_Leg': (49, 103, 104),
    'Lower_Clothing': (0, 0, 243),
    'Right_Foot': (255, 255, 212),
    'Right_Hand': (91, 144, 111),
    'Right_Lower_Arm': (255, 255, 148),
    'Right_Lower_Leg': (166, 117, 26),
    'Right_Shoe': (95, 69, 52),
    'Right_Sock': (255, 224, 0),
    'Right_Upper_Arm': (164, 165, 107),
    'Right_Upper_Leg': (229, 190, 171),
    'Torso': (14, 181, 252),
    'Upper_Clothing': (145, 78, 0),
    'Lower_Lip': (210, 255, 240),
    'Upper_Lip': (114, 45, 2),
    'Lower_Teeth': (3, 61, 147),
    'Upper_Teeth': (123, 127, 180),
    'Tongue': (206, 149, 0),
    'Lower_Spandex': (165, 135, 165),
    'Visible_Badge': (240, 180, 195),
}
CLOTHES = {
    'Background': (45, 45, 45),
    'Hat': (255, 255, 168),
    'Hair': (86, 222, 255),
    'Glove': (221, 180, 147),
    'Sunglasses': (112, 96, 138),
    'UpperClothes': (13, 130, 253),
    'Dress': (255, 255, 0),
    'Coat': (173, 119, 139),
    'Socks': (91, 51, 134),
    'Pants': (149, 0, 0),
    'Jumpsuits': (2, 17, 232),
    'Scarf': (119, 52, 83),
    'Skirt': (174, 157, 65),
    'Face': (163, 108, 0),
    'Left-arm': (179, 255, 255),
    'Right-arm': (23, 95, 54),
    'Left-leg': (34, 172, 255),
    'Right-leg': (209, 254, 219),
    'Left-shoe': (130, 207, 204),
    'Right-shoe': (208, 98, 108),
}
FACE19 = {
    'Background': (45, 45, 45),
    'Skin': (180, 120, 135),
    'Nose': (240, 180, 135),
    'Right_eye': (255, 255, 180),
    'Left_eye': (105, 60, 90),
    'Right_brow': (45, 90, 60),
    'Left_brow': (0, 0, 255),
    'Right_ear': (255, 165, 0),
    'Left_ear': (60, 60, 150),
    'Mouth_interior': (210, 120, 0),
    'Top_lip': (255, 255, 0),
    'Bottom_lip': (150, 0, 0),
    'Neck': (165, 90, 0),
    'Hair': (195, 255, 225),
    'Beard': (45, 105, 255),
    'Clothing': (135, 105, 150),
    'Glasses': (30, 165, 255),
    'Headwear': (90, 210, 255),
    'Facewear': (135, 255, 255),
}
# For lists of the user without colors.
SEQUENCE = (
    (45, 45, 45),
    (90, 75, 255),
    (255, 255, 60),
    (120, 255, 255),
    (135, 120, 15),
    (0, 150, 135),
    (75, 180, 255),
    (165, 195, 135),
    (150, 0, 120),
    (30, 90, 45),
    (195, 75, 105),
    (255, 165, 195),
    (240, 150, 0),
    (255, 255, 195),
    (0, 150, 180),
    (75, 135, 255),
    (255, 45, 150),
    (180, 135, 90),
    (45, 45, 210),
    (0, 120, 90),
    (210, 225, 120),
    (45, 225, 255),
    (120, 60, 90),
)
COLORS = dict(goliath34=GOLIATH, goliath28=GOLIATH, goliath29=GOLIATH, lip20=CLOTHES, cihp20=CLOTHES, face19=FACE19)
PUBLISHED = {tuple(data['classes']): (data['palette'], COLORS[data['name']]) for data in CLASS_LISTS}


@lru_cache(maxsize=64)
def with_palette(source: Skeleton | ClassList, palette: str) -> Skeleton | ClassList:
    """Return a skeleton or class list with the colors of a palette.

    Args:
        source: with its own colors.
        palette: 'published' leaves the colors as they are. 'distinct' replaces those of this package, and the default colors of
            lists of the user; colors that the user gives stay. Links between two left keypoints are dashed.

    Raises:
        ValueError: an unknown palette.
    """
    if palette not in PALETTES:
        raise ValueError(f'palette={palette!r} is not one of {PALETTES}')
    if palette == 'published':
        return source
    return _distinct_skeleton(source) if isinstance(source, Skeleton) else _distinct_classes(source)


def _distinct_classes(classes: ClassList) -> ClassList:
    given = classes.palette.tolist()
    published, colors = PUBLISHED.get(classes.classes, (None, {}))
    if published is not None and given == np.array(published).tolist():
        return replace(classes, palette=np.array([colors[name] for name in classes.classes], np.uint8))
    if len(classes) <= len(SEQUENCE) and given == [list(voc_color(label)) for label in range(len(classes))]:
        return replace(classes, palette=np.array(SEQUENCE[: len(classes)], np.uint8))
    return classes


def _distinct_skeleton(skeleton: Skeleton) -> Skeleton:
    names, groups = skeleton.keypoints, skeleton.groups
    hands = {index for group in ('left_hand', 'right_hand') for index in groups.get(group, ())}
    points, links = [tuple(color) for color in skeleton.colors.tolist()], skeleton.links.tolist()
    link_colors = [tuple(color) for color in skeleton.link_colors.tolist()]
    of_hands = [bool(hands & set(link)) for link in links]
    # Some skeletons have hands in the colors of the sides.
    have_fingers = {color for color, is_hand in zip(link_colors, of_hands, strict=True) if is_hand} & ONLY_FINGERS
    link_colors = [
        (HANDS if is_hand and have_fingers else SIDES).get(color, color)
        for color, is_hand in zip(link_colors, of_hands, strict=True)
    ]
    # A keypoint of a hand has the color of its finger.
    fingers = {
        index: color for link, color in zip(links, link_colors, strict=True) for index in hands.intersection(link)
    }

    def color_of(index: int) -> tuple[int, int, int]:
        color = points[index]
        if index in fingers and color in (*SIDES, *HANDS):
            return fingers[index]
        if color in SIDES:
            return SIDES[MIDDLE] if names[index] in coco17.HEAD else BY_SIDE[side_of(names[index])]
        return FACE.get(color, color) if index in groups.get('face', ()) else color

    return replace(
        skeleton,
        colors=np.array([color_of(index) for index in range(len(skeleton))], np.uint8).reshape(-1, 3),
        link_colors=np.array(link_colors, np.uint8).reshape(-1, 3),
        dashed=np.array([all(side_of(names[end]) == 'l' for end in link) for link in links], bool),
    )
