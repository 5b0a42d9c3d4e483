"""Data of the class lists: names in the order of the ids, class colors, class weights, and maps between lists (LIP -> 28).

Colors and weights are those of the published segmentation models.
"""

# The 34 annotated classes. Models of both generations learn a subset.
GOLIATH34 = {
    'Background': (50, 50, 50),
    'Apparel': (255, 218, 0),
    'Chair': (102, 204, 0),
    'Eyeglass_Frame': (14, 0, 204),
    'Eyeglass_Lenses': (0, 204, 160),
    'Face_Neck': (128, 200, 255),
    'Hair': (255, 0, 109),
    'Headset': (0, 255, 36),
    'Left_Foot': (189, 0, 204),
    'Left_Hand': (255, 0, 218),
    'Left_Lower_Arm': (0, 160, 204),
    'Left_Lower_Leg': (0, 255, 145),
    'Left_Shoe': (204, 0, 131),
    'Left_Sock': (182, 0, 255),
    'Left_Upper_Arm': (255, 109, 0),
    'Left_Upper_Leg': (0, 255, 255),
    'Lower_Clothing': (72, 0, 255),
    'Lower_Spandex': (204, 43, 0),
    'Right_Foot': (204, 131, 0),
    'Right_Hand': (255, 0, 0),
    'Right_Lower_Arm': (72, 255, 0),
    'Right_Lower_Leg': (189, 204, 0),
    'Right_Shoe': (182, 255, 0),
    'Right_Sock': (102, 0, 204),
    'Right_Upper_Arm': (32, 72, 204),
    'Right_Upper_Leg': (0, 145, 255),
    'Torso': (14, 204, 0),
    'Upper_Clothing': (0, 128, 72),
    'Visible_Badge': (204, 0, 43),
    'Lower_Lip': (235, 205, 119),
    'Upper_Lip': (115, 227, 112),
    'Lower_Teeth': (157, 113, 143),
    'Upper_Teeth': (132, 93, 50),
    'Tongue': (82, 21, 114),
}
REMOVED = {'Eyeglass_Frame', 'Eyeglass_Lenses', 'Visible_Badge', 'Chair', 'Lower_Spandex', 'Headset'}
GOLIATH28 = {name: color for name, color in GOLIATH34.items() if name not in REMOVED}
# The second generation of models has a class for glasses.
_FIRST = {name: GOLIATH28[name] for name in ('Background', 'Apparel')}
GOLIATH29 = _FIRST | {'Eyeglass': (14, 204, 182)} | GOLIATH28

# Class weights other than 1, for both lists and both sides.
GOLIATH_WEIGHTS = {
    'Background': 0.1,
    'Apparel': 10,
    'Eyeglass': 10,
    'Face_Neck': 3,
    'Hair': 2,
    'Foot': 4,
    'Hand': 4,
    'Lower_Arm': 2,
    'Lower_Leg': 2,
    'Shoe': 6,
    'Sock': 10,
    'Upper_Arm': 3,
    'Upper_Leg': 3,
    'Lower_Lip': 10,
    'Upper_Lip': 10,
    'Lower_Teeth': 10,
    'Upper_Teeth': 10,
    'Tongue': 10,
}

# LIP and CIHP have the same classes; class: (color, weight).
CLOTHES20 = {
    'Background': ((0, 0, 0), 0.1),
    'Hat': ((128, 0, 0), 1.5),
    'Hair': ((255, 0, 0), 1.0),
    'Glove': ((0, 85, 0), 1.5),
    'Sunglasses': ((170, 0, 51), 1.5),
    'UpperClothes': ((255, 85, 0), 0.8),
    'Dress': ((0, 0, 85), 1.2),
    'Coat': ((0, 119, 221), 1.0),
    'Socks': ((85, 85, 0), 1.5),
    'Pants': ((0, 85, 85), 0.8),
    'Jumpsuits': ((85, 51, 0), 1.2),
    'Scarf': ((52, 86, 128), 1.5),
    'Skirt': ((0, 128, 0), 1.5),
    'Face': ((0, 0, 255), 0.7),
    'Left-arm': ((51, 170, 221), 1.0),
    'Right-arm': ((0, 255, 255), 1.0),
    'Left-leg': ((85, 255, 170), 1.0),
    'Right-leg': ((170, 255, 85), 1.0),
    'Left-shoe': ((255, 255, 0), 1.5),
    'Right-shoe': ((255, 170, 0), 1.5),
}

# FaceSynthetics; trained without class weights.
FACE19 = {
    'Background': (0, 0, 0),
    'Skin': (128, 200, 255),
    'Nose': (255, 200, 150),
    'Right_eye': (0, 255, 127),
    'Left_eye': (255, 99, 71),
    'Right_brow': (30, 144, 255),
    'Left_brow': (255, 140, 0),
    'Right_ear': (238, 130, 238),
    'Left_ear': (255, 215, 0),
    'Mouth_interior': (82, 21, 114),
    'Top_lip': (115, 227, 112),
    'Bottom_lip': (235, 205, 119),
    'Neck': (255, 182, 193),
    'Hair': (255, 0, 109),
    'Beard': (169, 169, 169),
    'Clothing': (0, 128, 72),
    'Glasses': (0, 70, 130),
    'Headwear': (255, 215, 0),
    'Facewear': (75, 0, 130),
}


def _colored(name: str, colors: dict, weights: list[float] | float = 1.0) -> dict:
    return dict(name=name, classes=list(colors), palette=list(colors.values()), ce_weights=weights)


_WEIGHTS = {f'{side}{part}': weight for part, weight in GOLIATH_WEIGHTS.items() for side in ('', 'Left_', 'Right_')}
_CLOTHES = {name: color for name, (color, _) in CLOTHES20.items()}
_CLOTHES_WEIGHTS = [weight for _, weight in CLOTHES20.values()]

CLASS_LISTS = [
    _colored('goliath34', GOLIATH34),
    _colored('goliath28', GOLIATH28, [_WEIGHTS.get(name, 1) for name in GOLIATH28]),
    _colored('goliath29', GOLIATH29, [_WEIGHTS.get(name, 1) for name in GOLIATH29]),
    _colored('lip20', _CLOTHES, _CLOTHES_WEIGHTS),
    _colored('cihp20', _CLOTHES, _CLOTHES_WEIGHTS),
    _colored('face19', FACE19),
]

# Maps from labels of other datasets: one word per id of the source, the class of the target, or '-' (ignored) where the classes
# differ (LIP's arm is neither the lower nor the upper arm).
_CLOTHES_TO_28 = """
Background - Hair - - Upper_Clothing - Upper_Clothing - Lower_Clothing - - Upper_Clothing Face_Neck - - - - Left_Shoe
Right_Shoe
"""
_NAILS = 'Right_Hand ' * 5 + 'Left_Hand ' * 5
_52 = f"""
Background Apparel {'Face_Neck ' * 7} - Left_Foot Left_Lower_Leg Left_Shoe Left_Sock Left_Upper_Leg Right_Foot
Right_Lower_Leg Right_Shoe Right_Sock Right_Upper_Leg Torso Upper_Clothing Lower_Clothing Face_Neck Tongue
{{glasses}} {{glasses}} {{badge}} Right_Hand Right_Lower_Arm Right_Upper_Arm Left_Hand Left_Lower_Arm Left_Upper_Arm
Apparel Upper_Teeth Lower_Teeth Lower_Lip Upper_Lip Hair Background {_NAILS} Background
"""
_34_TO_29 = {
    'Chair': 'Background',
    'Eyeglass_Frame': 'Eyeglass',
    'Eyeglass_Lenses': 'Eyeglass',
    'Headset': '-',
    'Lower_Spandex': 'Lower_Clothing',
    'Visible_Badge': '-',
}

REMAPS = {
    ('atr18', 'goliath28'): """
        Background - Hair - Upper_Clothing Lower_Clothing Lower_Clothing - - Left_Shoe Right_Shoe Face_Neck - - - - - -
    """,
    ('cihp20', 'goliath28'): _CLOTHES_TO_28,
    ('lip20', 'goliath28'): _CLOTHES_TO_28,
    ('pascal25', 'goliath28'): f"""
        Background {'Face_Neck ' * 8} - Hair Upper_Clothing Face_Neck - - Left_Hand - - Right_Hand - - Left_Shoe - -
        Right_Shoe
    """,
    ('goliath34', 'goliath28'): ' '.join(name if name in GOLIATH28 else '-' for name in GOLIATH34),
    ('goliath34', 'goliath29'): ' '.join(_34_TO_29.get(name, name) for name in GOLIATH34),
    # Two later label sets of the same project: one with nails and gums, one with noses and eyebrows.
    ('goliath52', 'goliath28'): _52.format(glasses='Face_Neck', badge='Apparel'),
    ('goliath52', 'goliath29'): _52.format(glasses='Eyeglass', badge='-'),
    ('internal33', 'goliath29'): f"""
        Background {'Face_Neck ' * 10} Lower_Lip Upper_Lip Lower_Teeth Upper_Teeth Tongue Hair - - - - Torso Left_Hand
        Right_Hand Upper_Clothing Lower_Clothing - - Apparel Eyeglass Background - Background
    """,
}
