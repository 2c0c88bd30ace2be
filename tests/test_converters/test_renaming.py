"""A table renames; whatever does not find its place is reported."""

import numpy as np
import pytest
import torch

from mmanchor.converters import ConversionReport, Renaming, convert_state_dict

RENAMING = Renaming(
    rules=(
        (r'^old\.', 'new.'),
        (r'\.w$', '.weight'),
        (r'(\d)$', lambda match: str(int(match[1]) - 1)),
    ),
    unused=((r'^table$', 'a table'),),
    made=((r'\.counter$', torch.zeros),),
)


def convert(source, **target):
    target = {
        name.replace('_', '.'): torch.zeros(value, device='meta') for name, value in target.items()
    }
    return convert_state_dict(source, target, RENAMING)


def test_rows_apply_one_after_another():
    assert RENAMING.rename('old.conv.w') == 'new.conv.weight'
    assert RENAMING.rename('old.3') == 'new.2'
    assert RENAMING.rename('kept') == 'kept'


def test_everything_finds_its_place():
    source = {'table': {}, 'old.w': np.full((2, 3), 5, 'f8', order='F')}
    state, report = convert(source, new_counter=(), new_weight=(2, 3))
    assert list(state) == ['new.counter', 'new.weight']
    assert state['new.weight'].tolist() == [[5] * 3] * 2
    assert state['new.weight'].dtype == torch.float32
    assert state['new.weight'].is_contiguous()
    assert state['new.counter'] == 0
    assert report.is_complete and report.problems() == ''
    assert report.converted == {'old.w': 'new.weight'}
    assert report.skipped == {'table': 'a table'}
    assert report.made == ['new.counter']


def test_the_source_is_not_shared():
    source = {'old.w': np.zeros(2, 'f4')}
    state, _ = convert(source, new_weight=(2,))
    state['new.weight'] += 1
    assert source['old.w'].tolist() == [0, 0]


def test_each_problem_is_reported_once():
    source = {
        'old.w': np.zeros((2, 3), 'f4'),
        'new.w': np.zeros((2, 2), 'f4'),
        'who': np.zeros(1, 'f4'),
        'old.text': 'text',
        'old.bits': np.zeros(1, 'u2'),
    }
    state, report = convert(source, new_weight=(2, 2), new_bias=(2,), new_text=(1,), new_bits=(1,))
    assert not state and not report.is_complete
    # The second to ask for a weight does not get it.
    assert report.unmatched == ['new.w', 'who']
    assert report.missing == ['new.bias']
    assert report.mismatched == {
        'old.w': '(2, 3) in the file, (2, 2) in the model',
        'old.text': 'str in the file, not an array',
        'old.bits': 'uint16 in the file, torch.float32 in the model',
    }


@pytest.mark.parametrize('field', ('unmatched', 'missing'))
def test_problems_count_and_name_the_first(field):
    report = ConversionReport(**{field: list('abcde')})
    assert ': 5 (a, b, c, ...)' in report.problems()
    assert not report.is_complete
