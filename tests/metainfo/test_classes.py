import hashlib

import numpy as np
import pytest

from sapiens.metainfo import class_list_from_dict, classes, get_classes, register_classes, remap_table

# First 16 hex digits of sha256 of: names, palette, weights. They were taken where every value equalled the published tables.
DIGESTS = {
    'cihp20': ['d36a108cbef95dd5', '871f9c150da94bec', 'c40525fe751fd921'],
    'face19': ['a51c0426a94414dd', '62f9beeeaad381ee', '9bff350f3e20767a'],
    'goliath28': ['ba08d67f7010e817', 'c3a13de2b00b3770', '2e521bb8f42da088'],
    'goliath29': ['0f6086100114da88', 'fe638e81bfb17efd', '9a6ce3d36febddee'],
    'goliath34': ['d1be2d459fca67e2', '734e5afd67882116', 'c3966090027461d1'],
    'lip20': ['d36a108cbef95dd5', '871f9c150da94bec', 'c40525fe751fd921'],
}
REMAPS = {
    ('atr18', 'goliath28'): '7f477783fc09a61c',
    ('cihp20', 'goliath28'): 'a7fabd700ae94650',
    ('lip20', 'goliath28'): 'a7fabd700ae94650',
    ('pascal25', 'goliath28'): '2eb7fab35b22b752',
    ('goliath34', 'goliath28'): '3f03c538c980ce2a',
    ('goliath34', 'goliath29'): 'a422b138ea4a5d09',
    ('goliath52', 'goliath28'): 'd48591dff2d6555d',
    ('goliath52', 'goliath29'): '5e0418a9cc1508a1',
    ('internal33', 'goliath29'): '1387baa0ff851a1f',
}


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize('name', DIGESTS)
def test_every_value_is_the_published_one(name):
    listed = get_classes(name)
    assert DIGESTS[name] == [
        digest('\n'.join(listed.classes).encode()),
        digest(listed.palette.tobytes()),
        digest(','.join(map(str, listed.ce_weights.tolist())).encode()),
    ]
    assert len(listed) == len(listed.palette) == len(listed.ce_weights) == int(name[-2:])
    assert listed.palette.dtype == np.uint8


@pytest.mark.parametrize(
    'name, pairs',
    [
        ('goliath28', [(index, index + 9) for index in range(4, 12)]),
        ('goliath29', [(index, index + 9) for index in range(5, 13)]),
        ('lip20', [(14, 15), (16, 17), (18, 19)]),
        ('cihp20', [(14, 15), (16, 17), (18, 19)]),
        ('face19', [(3, 4), (5, 6), (7, 8)]),
    ],
)
def test_flip(name, pairs):
    listed = get_classes(name)
    assert listed.flip_pairs == pairs
    table = listed.flip_table
    assert table.shape == (256,) and (table[table] == np.arange(256)).all() and table[255] == 255
    assert (table[: len(listed)] == listed.flip_indices).all()
    assert all(table[a] == b and table[b] == a for a, b in pairs) and (table != np.arange(256)).sum() == 2 * len(pairs)
    for one, other in pairs:
        sides = {listed.classes[label].lower()[:4] for label in (one, other)}
        assert sides == {'left', 'righ'}


def test_values():
    listed = get_classes('goliath28')
    assert listed.index('Torso') == 21 and listed.palette[21].tolist() == [14, 204, 0]
    assert listed.ce_weights[[0, 1, 2]].tolist() == [0.1, 10, 3]
    with pytest.raises(ValueError, match="class 'left_foot' does not exist; did you mean 'Left_Foot'"):
        listed.index('left_foot')
    with pytest.raises(ValueError, match="class list 'goliath_28' does not exist; did you mean 'goliath28'"):
        get_classes('goliath_28')


def test_a_class_may_weigh_nothing():
    listed = class_list_from_dict(dict(name='own', classes=['a', 'b', 'c'], ce_weights=[0, 0.5, 2]))
    assert listed.ce_weights.tolist() == [0, 0.5, 2]


@pytest.mark.parametrize('array', ['palette', 'ce_weights', 'flip_indices', 'flip_table'])
def test_shared_arrays_cannot_be_changed(array):
    own = class_list_from_dict(dict(name='own', classes=['a', 'b'], ce_weights=[1, 2]))
    for listed in (get_classes('goliath28'), own):
        with pytest.raises(ValueError, match='read-only'):
            getattr(listed, array)[0] = 0


@pytest.mark.parametrize('pair', REMAPS)
def test_published_maps(pair):
    table = remap_table(*pair)
    assert digest(table.tobytes()) == REMAPS[pair]
    assert table.dtype == np.uint8 and table.shape == (256,) and table[255] == 255
    used = table[: int(pair[0][-2:])]
    assert set(used) - {255} <= set(range(len(get_classes(pair[1])))) and (table[len(used) :] == 255).all()
    assert table[0] == 0


def test_maps_of_this_package_flip_alike():
    for source, target in [('goliath34', 'goliath28'), ('goliath34', 'goliath29'), ('goliath28', 'goliath29')]:
        table = remap_table(source, target)
        np.testing.assert_array_equal(table[get_classes(source).flip_table], get_classes(target).flip_table[table])


def test_dropped_keypoints_of_a_mapping():
    table, source, target = remap_table('goliath34', 'goliath28'), get_classes('goliath34'), get_classes('goliath28')
    dropped = {name for name, label in zip(source.classes, table, strict=False) if label == 255}
    assert dropped == {'Eyeglass_Frame', 'Eyeglass_Lenses', 'Visible_Badge', 'Chair', 'Lower_Spandex', 'Headset'}
    assert table[source.index('Tongue')] == target.index('Tongue') == 27
    to_29 = remap_table('goliath34', 'goliath29')
    assert to_29[source.index('Eyeglass_Lenses')] == 2 and to_29[source.index('Chair')] == 0
    assert remap_table('lip20', 'goliath28')[[2, 13, 14, 18]].tolist() == [3, 2, 255, 8]


def test_maps_by_name():
    table = remap_table('lip20', 'cihp20')
    assert table[:20].tolist() == list(range(20)) and (table[20:] == 255).all()
    own = dict(name='own', classes=['Background', 'Hair', 'Tail'])
    assert remap_table(own, 'goliath28')[:4].tolist() == [0, 3, 255, 255]
    # A user's list is not taken for the published one, whatever its name.
    assert remap_table(own | dict(name='lip20'), 'goliath28')[:4].tolist() == [0, 3, 255, 255]
    with pytest.raises(ValueError, match='no class in common'):
        remap_table(dict(name='own', classes=['Tail']), 'lip20')
    with pytest.raises(ValueError, match="class list 'atr' does not exist; did you mean 'atr18'"):
        remap_table('atr', 'goliath28')
    with pytest.raises(ValueError, match="no map from 'atr18' to 'face19'; its targets are goliath28"):
        remap_table('atr18', 'face19')


def test_own_list(tmp_path, monkeypatch):
    file = tmp_path / 'animal.py'
    file.write_text("classes = dict(name='animal', classes=['Background', 'Left-paw', 'Right-paw', 'Tail'])")
    animal = get_classes(str(file))
    assert animal.flip_pairs == [(1, 2)] and (animal.ce_weights == 1).all()
    assert animal.palette.tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    monkeypatch.setattr(classes, 'CLASSES', dict(classes.CLASSES))
    assert register_classes(file) is get_classes('animal') is register_classes(str(file))
    with pytest.raises(ValueError, match="'animal' is registered with other content"):
        register_classes(dict(name='animal', classes=['Tail']))


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(pallete=[]), "key 'pallete' does not exist; did you mean 'palette'"),
        (dict(palette=[(0, 0, 0)]), '1 colors for 3 classes'),
        (dict(ce_weights=[1, 2]), 'one number or 3'),
        (dict(ce_weights=[1, -0.5, 2]), 'at least 0, found -0.5'),
        (dict(classes=['Left_paw']), "no partner 'Right_paw'"),
        (dict(classes=[str(label) for label in range(256)]), '255 means ignored'),
        (dict(flip=dict(a='z')), "'z' does not exist"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        class_list_from_dict(dict(name='own', classes=['a', 'b', 'c']) | change)
