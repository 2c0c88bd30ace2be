"""Weights and text survive a .safetensors file; a damaged one is named."""

import os
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch

from mmanchor.compat import CheckpointError, load_checkpoint
from mmanchor.compat.safetensors_files import save_safetensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'weights.safetensors'


@pytest.mark.smoke
def test_weights_and_meta_come_back(path):
    shared = torch.arange(12.0).reshape(3, 4)
    state = OrderedDict(
        half=shared.half(),
        transposed=shared.t(),
        shared=shared,
        number=torch.tensor(7),
        parameter=torch.nn.Parameter(shared),
    )
    meta = dict(
        dataset_meta=dict(classes=['wall', 'sky'], palette=[[1, 2, 3]]), epoch=3, cfg='x = 1'
    )
    save_safetensors(dict(state_dict=state, meta=meta), path)
    loaded = load_checkpoint(path)
    assert set(loaded['state_dict']) == set(state)
    for name, value in state.items():
        assert torch.equal(loaded['state_dict'][name], value)
        assert loaded['state_dict'][name].dtype == value.dtype
    assert loaded['meta'] == dict(meta, format='pt')
    assert os.listdir(path.parent) == [path.name]


def test_bare_state_dict_is_saved(path):
    save_safetensors({'w': torch.ones(2)}, path)
    assert load_checkpoint(path)['state_dict']['w'].tolist() == [1, 1]


def test_file_of_somebody_else_loads(path):
    safetensors.torch.save_file({'w': torch.ones(2)}, path, {'note': 'by me'})
    loaded = load_checkpoint(path)
    assert loaded['meta'] == {'note': 'by me'}
    assert loaded['state_dict']['w'].tolist() == [1, 1]


def test_file_without_metadata_loads(path):
    safetensors.torch.save_file({'w': torch.ones(2)}, path)
    assert load_checkpoint(path)['meta'] == {}


def test_map_location_moves_the_weights(path):
    save_safetensors({'w': torch.ones(2)}, path)
    for device in ('meta', torch.device('meta')):
        loaded = load_checkpoint(path, map_location=device)
        assert loaded['state_dict']['w'].device.type == 'meta'
    for location in (None, lambda storage, place: storage, {'cuda': 'cpu'}):
        loaded = load_checkpoint(path, map_location=location)
        assert loaded['state_dict']['w'].device.type == 'cpu'


def test_arrays_in_meta_become_lists(path):
    meta = dict(dataset_meta=dict(palette=np.eye(2, dtype='u1')))
    save_safetensors(dict(state_dict={}, meta=meta), path)
    palette = load_checkpoint(path)['meta']['dataset_meta']['palette']
    assert palette == [[1, 0], [0, 1]]


def test_meta_that_json_cannot_spell_is_left_out(path):
    save_safetensors(dict(state_dict={}, meta=dict(kept=[1, 2], dropped=object())), path)
    assert load_checkpoint(path)['meta'] == dict(kept=[1, 2], format='pt')


@pytest.mark.parametrize('length', [0, 4, 20, -8])
def test_half_a_file_is_named(path, length):
    save_safetensors({'w': torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r'weights.safetensors.*cut short'):
        load_checkpoint(path)


def test_other_format_under_this_name_is_named(path):
    torch.save({'w': torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match=r'weights.safetensors'):
        load_checkpoint(path)


def test_missing_file_is_a_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r'weights.safetensors'):
        load_checkpoint(path)


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'must end in .safetensors'):
        save_safetensors({}, tmp_path / 'weights.pth')


def test_entry_that_is_no_tensor_is_named(path):
    with pytest.raises(TypeError, match=r"state_dict\['n'\].*got int"):
        save_safetensors({'state_dict': {'n': 1}}, path)
    assert not path.exists()


def test_failed_save_leaves_the_old_file_alone(path, monkeypatch):
    save_safetensors({'w': torch.ones(1)}, path)
    before = path.read_bytes()

    def fail(tensors, name, meta):
        with open(name, 'w') as file:
            file.write('half')
        raise OSError('disk full')

    monkeypatch.setattr('mmanchor.compat.safetensors_files.save_file', fail)
    with pytest.raises(OSError, match='disk full'):
        save_safetensors({'w': torch.zeros(1)}, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_metadata_nested_without_end_stays_text(tmp_path):
    path = tmp_path / 'w.safetensors'
    deep = '[' * 100_000 + ']' * 100_000
    safetensors.torch.save_file({'w': torch.ones(1)}, path, {'a': deep})
    assert load_checkpoint(path)['meta'] == {'a': deep}
