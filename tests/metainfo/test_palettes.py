"""Colors of people with normal vision, deuteranopia and protanopia.

Color blindness is simulated by the matrices of Machado et al. 2009 (severity 1.0) in linear light. Distances are CIEDE2000.
``python -m tests.metainfo.test_palettes`` prints the smallest distances of both palettes.
"""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from sapiens.metainfo import class_list_from_dict, get_classes, get_skeleton, skeleton_from_dict, skeleton_names
from sapiens.metainfo.palettes import FACE, HANDS, PALETTES, SEQUENCE, SIDES, with_palette
from sapiens.utils.srgb import decode_srgb, encode_srgb

VISIONS = dict(
    normal=np.eye(3),
    deuteranopia=np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
    protanopia=np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
)


def distances(colors, vision: str) -> np.ndarray:
    """(C, C) CIEDE2000 between colors (C, 3) uint8 RGB as they are seen; infinite from a color to itself."""
    linear = decode_srgb(np.asarray(colors, np.float64) / 255) @ VISIONS[vision].T
    lab = rgb2lab(encode_srgb(np.clip(linear, 0, 1))[None])[0]
    found = deltaE_ciede2000(lab[:, None], lab[None])
    np.fill_diagonal(found, np.inf)
    return found


def smallest(colors, pairs=None) -> dict[str, float]:
    """Smallest distance of all pairs of colors, or of pairs of indices, for each vision."""
    colors = np.asarray(colors)
    a, b = zip(*(combinations(range(len(colors)), 2) if pairs is None else pairs), strict=True)
    return {vision: float(distances(colors, vision)[list(a), list(b)].min()) for vision in VISIONS}


def star(middle, *others):
    return [(middle, other) for other in others]


MOUTH = 'Lower_Lip', 'Upper_Lip', 'Lower_Teeth', 'Upper_Teeth', 'Tongue'
LIMBS = 'Foot', 'Hand', 'Lower_Arm', 'Lower_Leg', 'Shoe', 'Sock', 'Upper_Arm', 'Upper_Leg'
GOLIATH = [
    *((f'Left_{part}', f'Right_{part}') for part in LIMBS),
    *star('Torso', 'Face_Neck', 'Upper_Clothing', 'Lower_Clothing', 'Hair', 'Apparel'),
    *star('Upper_Clothing', 'Lower_Clothing', 'Face_Neck', 'Hair', 'Apparel'),
    *star('Face_Neck', 'Hair', 'Apparel', 'Eyeglass', *MOUTH),
    *star('Hair', 'Apparel', 'Eyeglass'),
    ('Lower_Clothing', 'Apparel'),
    *combinations(MOUTH, 2),
]
for side in ('Left', 'Right'):
    upper_arm, lower_arm, hand, upper_leg, *below_knee = (
        f'{side}_{part}'
        for part in ('Upper_Arm', 'Lower_Arm', 'Hand', 'Upper_Leg', 'Lower_Leg', 'Sock', 'Shoe', 'Foot')
    )
    GOLIATH += [(upper_arm, lower_arm), (lower_arm, hand), (upper_leg, below_knee[0]), *combinations(below_knee, 2)]
    GOLIATH += star('Torso', upper_arm, upper_leg) + star('Upper_Clothing', upper_arm, lower_arm, hand, upper_leg)
    GOLIATH += star('Lower_Clothing', upper_leg, *below_knee)
TOPS = 'UpperClothes', 'Dress', 'Coat', 'Jumpsuits'
CLOTHES = [
    *combinations(TOPS, 2),
    *star('Hat', 'Hair', 'Face'),
    *star('Hair', 'Face', 'Sunglasses', 'Scarf', *TOPS),
    *star('Face', 'Sunglasses', 'Scarf', *TOPS),
    *((top, other) for top in TOPS for other in ('Pants', 'Skirt', 'Scarf', 'Left-arm', 'Right-arm', 'Glove')),
    *((f'Left-{part}', f'Right-{part}') for part in ('arm', 'leg', 'shoe')),
    *(('Glove', f'{side}-arm') for side in ('Left', 'Right')),
    *star('Pants', 'Socks', 'Skirt'),
]
for side in ('Left', 'Right'):
    CLOTHES += star(f'{side}-leg', 'Pants', 'Skirt', 'Dress', 'Coat', 'Socks', 'Jumpsuits')
    CLOTHES += star(f'{side}-shoe', 'Pants', 'Socks', 'Jumpsuits', 'Dress', f'{side}-leg')
EYES, BROWS, EARS = ((f'Left_{part}', f'Right_{part}') for part in ('eye', 'brow', 'ear'))
LIPS = 'Top_lip', 'Bottom_lip'
FACE19 = [
    *star('Skin', 'Nose', *EYES, *BROWS, *EARS, *LIPS, 'Mouth_interior', 'Neck', 'Hair', 'Beard'),
    *star('Skin', 'Glasses', 'Headwear', 'Facewear'),
    *(EYES, BROWS, EARS, LIPS),
    *zip(EYES, BROWS, strict=True),
    *star('Mouth_interior', *LIPS, 'Beard'),
    *star('Beard', *LIPS, 'Neck', 'Hair'),
    *star('Hair', *EARS, *BROWS, 'Neck', 'Clothing', 'Headwear'),
    *star('Neck', *EARS, 'Clothing'),
    *star('Glasses', 'Nose', *EYES, *BROWS, *EARS, 'Hair'),
    *star('Facewear', 'Nose', 'Neck', 'Clothing', 'Mouth_interior', *LIPS, 'Beard'),
    *star('Headwear', *EARS, *BROWS),
]
NEIGHBORS = dict(goliath28=GOLIATH, goliath29=GOLIATH, lip20=CLOTHES, cihp20=CLOTHES, face19=FACE19)


def class_distances(name: str, palette: str) -> tuple[dict[str, float], dict[str, float]]:
    """Smallest distances of neighbors, and of all classes."""
    classes = with_palette(get_classes(name), palette)
    pairs = [(classes.index(a), classes.index(b)) for a, b in NEIGHBORS[name] if {a, b} <= set(classes.classes)]
    return smallest(classes.palette, pairs), smallest(classes.palette)


@pytest.mark.parametrize('name', NEIGHBORS)
def test_classes_differ_in_the_distinct_palette(name):
    neighbors, all_pairs = class_distances(name, 'distinct')
    assert min(neighbors.values()) > 20, neighbors
    assert min(all_pairs.values()) > 10, all_pairs


@pytest.mark.parametrize('name, vision, most', [
    ('goliath28', 'deuteranopia', 2), ('goliath29', 'protanopia', 1), ('lip20', 'deuteranopia', 2), ('face19', 'normal', 0),
])  # fmt: skip
def test_the_published_palettes_do_not(name, vision, most):
    assert class_distances(name, 'published')[1][vision] < most + 0.01


def test_hair_and_upper_clothing_are_told_apart():
    found = {}
    for palette in PALETTES:
        classes = with_palette(get_classes('goliath29'), palette)
        pair = [classes.palette[classes.index(name)] for name in ('Hair', 'Upper_Clothing')]
        found[palette] = smallest(pair)['deuteranopia']
    assert found['distinct'] > 20 > 16 > found['published']


def test_all_annotated_classes_have_colors_of_their_own():
    colors = with_palette(get_classes('goliath34'), 'distinct').palette
    assert min(smallest(colors).values()) > 5
    both = with_palette(get_classes('goliath28'), 'distinct')
    assert (both.palette == [colors[get_classes('goliath34').index(name)] for name in both.classes]).all()


def test_left_and_right_parts_differ_in_the_color_that_remains():
    """Blue and yellow are what people with red-green blindness see."""
    for name in ('goliath29', 'lip20'):
        classes = with_palette(get_classes(name), 'distinct')
        yellow = rgb2lab(classes.palette[None] / 255)[0][:, 2]
        for index, part in enumerate(classes.classes):
            if part.startswith(('Left', 'Right')):
                assert bool(yellow[index] < 0) == part.startswith('Left'), part


@pytest.mark.parametrize('name', skeleton_names())
def test_sides_differ_in_skeletons(name):
    skeleton = with_palette(get_skeleton(name), 'distinct')
    limbs = {}
    for (start, end), color in zip(skeleton.links, skeleton.link_colors.tolist(), strict=True):
        for joint in ('knee', 'elbow'):
            if {joint} == {
                part for part in ('knee', 'elbow') if part in skeleton.keypoints[start] + skeleton.keypoints[end]
            }:
                limbs.setdefault(skeleton.keypoints[start].split('_')[0], set()).add(tuple(color))
    assert limbs['left'] == {(0, 150, 255)} and limbs['right'] == {(255, 150, 0)}
    for side in ('left', 'right'):
        ankle = skeleton.colors[skeleton.index(f'{side}_ankle')]
        assert tuple(ankle) in limbs[side], 'a keypoint has the color of its side'
    assert skeleton.dashed.tolist() == [
        all(skeleton.keypoints[end].startswith('left') for end in link) for link in skeleton.links
    ]


def test_groups_of_keypoints_differ():
    assert min(smallest(list(SIDES.values())).values()) > 20
    assert min(smallest([*SIDES.values(), *HANDS.values()]).values()) > 10
    fingers = list(HANDS.values())
    assert min(smallest(fingers, [(i, i + 1) for i in range(4)]).values()) > 20
    assert min(smallest(list(FACE.values())).values()) > 10
    face = list(FACE.values())
    eyes = [(1, 3), (2, 4), (1, 2), (3, 4), (8, 9), (10, 12), (11, 13), (10, 11), (12, 13), (6, 7), (5, 6), (0, 5)]
    assert min(smallest(face, eyes).values()) > 20
    assert set(FACE) == {
        tuple(get_skeleton('goliath308').colors[index]) for index in get_skeleton('goliath308').groups['face']
    }
    published = smallest(list(SIDES))
    assert published['deuteranopia'] < 11, 'green and orange'


def test_colors_of_own_lists_stay():
    given = dict(name='mine', classes=['ground', 'cup', 'plate'], palette=[(0, 0, 0), (9, 9, 9), (8, 8, 8)])
    assert (with_palette(class_list_from_dict(given), 'distinct').palette == given['palette']).all()
    without = class_list_from_dict(dict(name='mine', classes=['ground', 'cup', 'plate']))
    assert (with_palette(without, 'distinct').palette == SEQUENCE[:3]).all()
    assert (with_palette(without, 'published').palette == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]).all()
    many = class_list_from_dict(dict(name='mine', classes=[f'class {index}' for index in range(200)]))
    assert with_palette(many, 'distinct') is many
    assert min(smallest(SEQUENCE).values()) > 10
    own = dict(name='dog', keypoints=['left_paw', 'right_paw', 'tail'], colors=dict(tail=(1, 2, 3)))
    own |= dict(links=[('left_paw', 'right_paw'), ('left_paw', 'tail', (4, 5, 6))])
    dog = with_palette(skeleton_from_dict(own), 'distinct')
    assert dog.colors.tolist() == [[0, 150, 255], [255, 150, 0], [1, 2, 3]]
    assert dog.link_colors.tolist() == [[200, 60, 125], [4, 5, 6]] and not dog.dashed.any()


def test_the_published_palette_and_unknown_ones():
    skeleton = get_skeleton('coco17')
    assert with_palette(skeleton, 'published') is skeleton and skeleton.dashed is None
    assert PALETTES[0] == 'distinct'
    with pytest.raises(ValueError, match="palette='rainbow' is not one of"):
        with_palette(skeleton, 'rainbow')


def test_color_blindness_is_simulated():
    red, green = (200, 60, 60), (110, 125, 40)
    assert smallest([red, green])['normal'] > 40 > 15 > smallest([red, green])['deuteranopia']
    gray = [(100, 100, 100), (180, 180, 180)]
    for vision in VISIONS:
        assert smallest(gray)[vision] == pytest.approx(smallest(gray)['normal'], rel=0.01), 'lightness is seen by all'


if __name__ == '__main__':
    for name in NEIGHBORS:
        for palette in PALETTES:
            found = class_distances(name, palette)
            texts = (', '.join(f'{key} {value:.1f}' for key, value in part.items()) for part in found)
            print(f'{name} {palette}: neighbors: {next(texts)}; all: {next(texts)}')
    for palette, colors in (('published', SIDES), ('distinct', SIDES.values())):
        text = ', '.join(f'{key} {value:.1f}' for key, value in smallest(list(colors)).items())
        print(f'sides of keypoints {palette}: {text}')
