"""Weights are found where training scripts put them."""

import pytest
import torch

from mmanchor.compat import CheckpointError
from mmanchor.converters import TRAINING_STATE, Renaming, arrays_of_torch

WEIGHT = torch.ones(2)


@pytest.mark.parametrize('key', ('model', 'state_dict', 'module'))
def test_nested_weights_are_found(key):
    saved = {key: {'a': WEIGHT}, 'optimizer': {'state': {}}, 'epoch': 3}
    entries = arrays_of_torch(saved, 'x.pth')
    assert entries.pop('a') is WEIGHT
    renaming = Renaming((), unused=(TRAINING_STATE,))
    assert len(entries) == 2
    assert all(renaming.why_unused(name) for name in entries)
    assert saved[key] == {'a': WEIGHT}


def test_a_plain_state_dict_is_itself():
    assert arrays_of_torch({'model': WEIGHT}, 'x.pth') == {'model': WEIGHT}


def test_the_prefix_of_wrapped_models_goes_only_if_all_have_it():
    saved = {'module.a': WEIGHT, 'module.b': WEIGHT}
    assert list(arrays_of_torch(saved, 'x.pth')) == ['a', 'b']
    saved['c'] = WEIGHT
    assert list(arrays_of_torch(saved, 'x.pth')) == list(saved)


@pytest.mark.parametrize('saved', ([WEIGHT], {}, {'model': {'epoch': 1}}))
def test_what_holds_no_weights_is_named(saved):
    with pytest.raises(CheckpointError, match=r'x.pth holds .*state_dict'):
        arrays_of_torch(saved, 'x.pth')


@pytest.mark.parametrize(
    'value, message',
    [
        (WEIGHT.to_sparse(), 'a sparse or a nested tensor'),
        (torch.eye(2).to_sparse_csr(), 'a sparse or a nested tensor'),
        (torch.nested.nested_tensor([WEIGHT]), 'a sparse or a nested tensor'),
        (WEIGHT.to('meta'), 'a tensor without data'),
        (WEIGHT.to(torch.complex64), 'torch.complex64 numbers'),
        (WEIGHT.to(torch.float8_e4m3fn), 'torch.float8_e4m3fn numbers'),
        (torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8), 'torch.qint8'),
    ],
)
def test_tensors_of_no_plain_numbers_are_named(value, message):
    with pytest.raises(CheckpointError, match=f'x.pth holds a as {message}'):
        arrays_of_torch({'model': {'a': value}}, 'x.pth')
    beside = {'model': {'a': WEIGHT}, 'b': value}
    assert arrays_of_torch(beside, 'x.pth')['a'] is WEIGHT


def test_a_file_without_metadata_has_nothing_beside_the_weights():
    loaded = {'state_dict': {'w': WEIGHT}, 'meta': {}}
    assert list(arrays_of_torch(loaded, 'x.safetensors')) == ['w']
    loaded['meta'] = {'epoch': 3}
    assert 'beside the weights: meta' in arrays_of_torch(loaded, 'x.pth')
