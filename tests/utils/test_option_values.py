"""Checks of the values of options."""

import numpy as np
import pytest

from sapiens.utils.option_values import require_bool, require_number


@pytest.mark.parametrize(
    ('value', 'options'),
    [(1, {}), (0.5, dict(above=0)), (0, dict(least=0)), (np.int64(3), dict(whole=True)), (np.float32(2), dict(above=1)),
     (None, dict(above=0, none='no limit')), (-1, dict(whole=True))],
)  # fmt: skip
def test_numbers(value, options):
    require_number('a.b', value, **options)


@pytest.mark.parametrize(
    ('value', 'options', 'expected'),
    [
        ('1', {}, 'a finite number'),
        (True, {}, 'a finite number'),
        (None, {}, 'a finite number'),
        ([], {}, 'a finite number'),
        (float('nan'), {}, 'a finite number'),
        (float('inf'), dict(above=0), 'a finite number above 0'),
        (10**400, {}, 'a finite number'),
        (0, dict(above=0, none='no limit'), 'a finite number above 0, or None for no limit'),
        (-0.1, dict(least=0), 'a finite number of at least 0'),
        (1.0, dict(least=1, whole=True), 'a whole number of at least 1'),
        (9, dict(above=0, most=8), 'a finite number above 0 and at most 8'),
        (9, dict(most=8, whole=True), 'a whole number of at most 8'),
    ],
)
def test_other_values_are_refused(value, options, expected):
    with pytest.raises(ValueError) as error:
        require_number('a.b', value, **options)
    assert str(error.value) == f'a.b={value!r}: expected {expected}'


def test_booleans():
    require_bool('a', True)
    require_bool('a', None, none='as the model needs it')
    for value in (1, 0, 'no', None, []):
        with pytest.raises(ValueError, match=r'^a=.*: expected True or False$'):
            require_bool('a', value)
    with pytest.raises(ValueError, match="'no': expected True or False, or None for as it is"):
        require_bool('a', 'no', none='as it is')
