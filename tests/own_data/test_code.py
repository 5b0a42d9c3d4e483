"""Python text of configs."""

from sapiens.own_data.code import as_code


def test_short_values_are_one_line():
    value = dict(type='A', sizes=(1,), pair=(1, 2.5), names=['a', None], empty={}, nested=dict(b=True))
    assert (
        as_code(value)
        == "dict(type='A', sizes=(1,), pair=(1, 2.5), names=['a', None], empty=dict(), nested=dict(b=True))"
    )
    assert as_code({'left eye': 1, 'b': [2]}) == "{'left eye': 1, 'b': [2]}" and as_code({3: 4}) == '{3: 4}'
    assert as_code('x') == "'x'" and as_code([]) == '[]' and as_code(()) == '()'


def test_long_values_have_an_item_a_line_and_read_back():
    value = dict(first='a' * 60, second=['b' * 30] * 5, third=dict(c='d' * 60, e={'f g': 'h' * 70}))
    text = as_code(value)
    lines = text.split('\n')
    assert lines[0] == 'dict(' and lines[-1] == ')' and lines[1] == f"    first='{'a' * 60}',"
    assert lines[2] == '    second=[' and lines[3] == f"        '{'b' * 30}'," and max(map(len, lines)) <= 118
    assert eval(text) == value
    assert as_code(value, indent=4).split('\n')[1].startswith(' ' * 8 + 'first=') and as_code(value, 4).endswith(
        '\n    )'
    )


def test_a_line_may_be_as_long_as_its_room():
    value = ['x' * 10, 'y']
    length = len(as_code(value))
    assert '\n' not in as_code(value, 0, length) and '\n' in as_code(value, 0, length - 1)
    assert '\n' not in as_code(['x' * 114]) and '\n' in as_code(['x' * 115])
