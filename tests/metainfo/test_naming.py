"""Names, numbers and colors of short forms."""

import numpy as np
import pytest

from sapiens.metainfo.naming import find_names, flip_indices, near, not_known, side_of
from sapiens.metainfo.parsing import check_keys, name_of, names_of, numbers_of, rgb_of


@pytest.mark.parametrize(
    ('name', 'side'),
    [
        ('left_eye', 'l'),
        ('hip_RIGHT', 'r'),
        ('end_of_l_eyebrow', 'l'),
        ('R-arm', 'r'),
        ('leftover', ''),
        ('l2', ''),
        ('nose', ''),
    ],
)
def test_sides(name, side):
    assert side_of(name) == side


def test_partners():
    names = ('nose', 'left_eye', 'right_eye')
    assert flip_indices(names, True, 'x').tolist() == [0, 2, 1]
    assert flip_indices(names, False, 'x').tolist() == [0, 1, 2]
    assert flip_indices(names, dict(left_eye='left_eye', right_eye='right_eye'), 'x').tolist() == [0, 1, 2]
    for flip in (None, ['left_eye'], 1):
        with pytest.raises(ValueError, match='must be a dict'):
            flip_indices(names, flip, 'x')


def test_names_are_found_in_any_case_unless_only_case_tells_them_apart():
    assert find_names(['Left Eye', 'nose'], ['NOSE', 'left_eye', 'ear']) == [1, 0]
    assert find_names(['Left Eye', 'mouth'], ['NOSE', 'left_eye']) is None
    assert find_names(['a', 'A'], ['A', 'a']) == [1, 0] and find_names(['a b'], ['a_b', 'A b', 'a b']) == [2]
    assert find_names(['a-b'], ['a_b', 'A b']) is None


def test_hints():
    assert near('Left_eye', ['left_eye', 'nose']) == "; did you mean 'left_eye'?" and near('xyz', ['nose']) == ''
    assert (
        not_known('name', 'nos', ['nose', 'ear'])
        == "name 'nos' does not exist; did you mean 'nose'? Known: nose, ear."
    )
    assert not_known('name', 'xyz', [f'a{i}' for i in range(40)]).endswith('a39.')
    assert not_known('name', 'xyz', [f'a{i}' for i in range(41)]) == "name 'xyz' does not exist."


def test_numbers():
    assert numbers_of(2, 3, 'x').tolist() == [2, 2, 2] and numbers_of([1, 2], 2, 'x').dtype == np.float64
    assert numbers_of([0, 1], 2, 'x', zero=True).tolist() == [0, 1]
    for values, zero, text in (
        ([0, 1], False, 'must be above 0, found 0'), ([-1, 1], True, 'must be at least 0, found -1'),
        ([np.nan, 1], True, 'at least'),
        ([np.inf, 1], False, 'above 0'), ([1, 2, 3], False, r'or 2 of them, found shape \(3,\)'), ('a', False, 'or a list of 2'),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            numbers_of(values, 2, 'x', zero)


def test_colours():
    assert rgb_of([0, 255, 7.0], 'x') == (0, 255, 7) and rgb_of(np.array([1, 2, 3]), 'x') == (1, 2, 3)
    for color in ([0, 0, 256], [-1, 0, 0], [0, 0], [0, 0, 0, 0], [0.5, 0, 0], 'red', 5):
        with pytest.raises(ValueError, match='three integers R, G, B from 0 to 255'):
            rgb_of(color, 'x')


def test_keys_and_names():
    check_keys(dict(name='a', b=1), ('name',), ('b', 'c'), 'x')
    for data, text in (
        ([], 'expected a dict, found list'), (dict(b=1), 'x lacks name'), (dict(name='a', d=1), "key 'd' does not exist"),
        (dict(name=''), 'must be a word'), (dict(name='a/b'), 'must be a word'), (dict(name='a.py'), 'must be a word'),
        (dict(name=3), 'must be a word'),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            check_keys(data, ('name',), ('b',), 'x')
    assert name_of(dict(name='a')) == 'a' and name_of({}) == '(without a name)' and name_of([]) == '(not a dict)'
    assert names_of(['a', 'b'], 'x') == ('a', 'b')
    for names, text in (
        ([], 'list of names'),
        ('ab', 'list of names'),
        (['a', ''], 'list of names'),
        (['b', 'a', 'b'], 'once: b$'),
    ):
        with pytest.raises(ValueError, match=text):
            names_of(names, 'x')
