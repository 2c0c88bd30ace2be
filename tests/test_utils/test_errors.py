"""How errors of other people's code are shown."""

from mmanchor.utils.errors import in_one_line, innermost_place


def caught(call):
    try:
        call()
    except Exception as error:
        return error


def without_message():
    raise AssertionError


def wrapped():
    try:
        raise KeyError('what is missing')
    except KeyError as error:
        raise RuntimeError('cannot be exported. Next steps:\n1.') from error


def test_an_error_without_a_message_names_its_line():
    shown = in_one_line(caught(without_message))
    assert shown.startswith('AssertionError: test_errors.py, line ')
    assert shown.endswith(': raise AssertionError')


def test_the_cause_counts():
    assert in_one_line(caught(wrapped)) == 'KeyError: what is missing'


def test_colors_are_left_out():
    error = ValueError('\x1b[96mstep 1/3\x1b[0m failed\nand more')
    assert in_one_line(error) == 'ValueError: step 1/3 failed'


def test_never_raised_and_without_a_message():
    assert in_one_line(MemoryError()) == 'MemoryError'


def test_the_innermost_place_is_that_of_the_cause():
    assert innermost_place(caught(wrapped)).startswith('test_errors.py, line 1')
    assert innermost_place(MemoryError()) == 'unknown place'
