"""Checkpoints load through the allow-list; what wants more never runs."""

import argparse
import io
import os
import pickle
import subprocess
import tarfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmanchor.compat import (
    CheckpointError,
    UnsafeCheckpointError,
    load_checkpoint,
    trust_checkpoint,
)
from mmanchor.utils.errors import UserError

FORMATS = {
    'zip': dict(),
    'legacy': dict(_use_new_zipfile_serialization=False),
    'protocol-4': dict(pickle_protocol=4),
}
# torch warns of protocols that its safe unpickler may not know; it does not.
pytestmark = pytest.mark.filterwarnings('ignore:Detected pickle protocol')


class Reduces:
    """Pickles as a call of ``function(*arguments)``, then ``state``."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments, state)

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """What a call returns can be called too, to pickle."""


class Note:
    """A class of the user's, which they may allow."""

    def __init__(self, text):
        self.text = text


def payloads(marker):
    """Ways to run ``touch marker``, and the name that the error gives."""
    command = f'touch {marker}'
    code = f'import os; os.system({command!r})'
    system = Reduces(os.system, command)
    nested_file = io.BytesIO()
    torch.save(system, nested_file)
    weights = OrderedDict(a=torch.ones(1))
    weights.hidden = system
    return {
        'os.system': (system, 'posix.system'),
        'eval': (Reduces(eval, f'__import__("os").system({command!r})'), 'builtins.eval'),
        'exec': (Reduces(exec, code), 'builtins.exec'),
        'popen': (Reduces(subprocess.Popen, ['touch', str(marker)]), 'subprocess.Popen'),
        'getattr-of-a-module': (
            Reduces(Reduces(getattr, Reduces(__import__, 'os'), 'system'), command),
            'builtins.__import__',
        ),
        'getattr-of-the-buffer': (
            Reduces(
                Reduces(
                    getattr,
                    Reduces(getattr, Reduces(getattr, HistoryBuffer, 'update'), '__globals__'),
                    'get',
                ),
                'np',
            ),
            "builtins.getattr(HistoryBuffer, 'update')",
        ),
        'argument-of-an-allowed-call': (Reduces(OrderedDict, [('a', system)]), 'posix.system'),
        'state-of-an-allowed-object': (Reduces(OrderedDict, state={'a': system}), 'posix.system'),
        'attribute-of-the-weights': (weights, 'posix.system'),
        'pickle-in-a-storage': (
            Reduces(torch.storage._load_from_bytes, nested_file.getvalue()),
            'torch.storage._load_from_bytes',
        ),
        'pickle-in-bytes': (Reduces(pickle.loads, pickle.dumps(system)), 'pickle.loads'),
        'torch-load': (Reduces(torch.hub.load, str(marker), 'x'), 'torch.hub.load'),
        'statistic-of-the-buffer': (
            Reduces(HistoryBuffer, state={'statistics_methods': {'mean': os.system}}),
            'posix.system',
        ),
    }


PAYLOADS = tuple(payloads('x'))


@pytest.mark.smoke
@pytest.mark.parametrize('form', FORMATS)
@pytest.mark.parametrize('kind', PAYLOADS)
def test_malicious_file_is_refused_by_name_and_does_not_run(kind, form, tmp_path):
    marker = tmp_path / 'marker'
    payload, name = payloads(marker)[kind]
    path = tmp_path / 'bad.pth'
    torch.save({'state_dict': {'w': torch.ones(2)}, 'meta': [payload]}, path, **FORMATS[form])
    with pytest.raises(UnsafeCheckpointError) as error:
        load_checkpoint(path)
    assert name in str(error.value) and str(path) in str(error.value)
    assert 'MMANCHOR_TRUST_CHECKPOINTS' in str(error.value)
    assert not marker.exists()


@pytest.mark.parametrize('kind', ['os.system', 'exec', 'eval'])
def test_payloads_run_where_the_file_is_trusted(kind, tmp_path):
    marker = tmp_path / 'marker'
    path = tmp_path / 'bad.pth'
    torch.save(payloads(marker)[kind][0], path)
    with trust_checkpoint(path):
        load_checkpoint(path)
    assert marker.exists()
    with pytest.raises(UnsafeCheckpointError):
        load_checkpoint(path)


@pytest.mark.parametrize(
    'state',
    [
        (3, '<', None, ('a',), {'a': (np.dtype('f4'), 0)}, 8, 8, 0),
        (3, '|', None, ('a',), {'a': (np.dtype('O'), 0)}, 8, 8, 0),
        (3, '<', (np.dtype('O'), (1,)), None, None, 8, 8, 0),
    ],
)
def test_bytes_cannot_become_pointers_through_a_dtype(state, tmp_path):
    # numpy itself believes this state and crashes when the array is read.
    path = tmp_path / 'bad.pth'
    dtype = Reduces(np.dtype, 'f8', False, True, state=state)
    reconstruct = np.empty(0).__reduce__()[0]
    array = Reduces(reconstruct, np.ndarray, (0,), b'b', state=(1, (4,), dtype, False, b'A' * 32))
    torch.save(array, path)
    with pytest.raises(UnsafeCheckpointError, match=r'numpy.dtype'):
        load_checkpoint(path)


def test_arrays_of_objects_are_refused(tmp_path):
    path = tmp_path / 'bad.pth'
    torch.save(np.array([{}], dtype=object), path)
    with pytest.raises(UnsafeCheckpointError, match=r"numpy.dtype\('O8'\)"):
        load_checkpoint(path)


def test_torchscript_is_refused(tmp_path):
    path = tmp_path / 'program.pth'
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    with pytest.raises(UnsafeCheckpointError, match='TorchScript'):
        load_checkpoint(path)


def test_tar_is_refused(tmp_path):
    path = tmp_path / 'old.pth'
    with tarfile.open(path, 'w') as archive:
        archive.addfile(tarfile.TarInfo('storages'))
    with pytest.raises(UnsafeCheckpointError, match='tar'):
        load_checkpoint(path)


def training_state():
    buffer = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1], max_length=7)
    return {
        'state_dict': OrderedDict(w=torch.arange(6.0).reshape(2, 3)),
        'buffers': {'loss': buffer, 'empty': HistoryBuffer()},
        'scalars': [np.float32(0.5), np.int64(-3), np.bool_(True)],
        'arrays': (
            np.arange(6).reshape(2, 3).T,
            np.array(['a', 'bcd']),
            np.zeros((0, 2), 'f4'),
            np.array([1 + 2j], '>c16'),
        ),
        'plain': {'lr': [1e-3], 'name': 'x', 'raw': b'\x00\xff', None: True},
    }


@pytest.mark.smoke
@pytest.mark.parametrize('form', ['zip', 'legacy'])
def test_training_state_comes_back_exactly(form, tmp_path):
    path = tmp_path / 'good.pth'
    before = training_state()
    torch.save(before, path, **FORMATS[form])
    after = load_checkpoint(path)
    assert torch.equal(after['state_dict']['w'], before['state_dict']['w'])
    assert after['plain'] == before['plain']
    for old, new in zip(before['scalars'], after['scalars'], strict=True):
        assert type(new) is type(old) and new == old
    for old, new in zip(before['arrays'], after['arrays'], strict=True):
        assert type(new) is np.ndarray and new.dtype == old.dtype.newbyteorder('=')
        assert new.shape == old.shape and (new == old).all()
        assert new.flags.writeable
    loss = after['buffers']['loss']
    assert type(loss) is HistoryBuffer and loss.max_length == 7
    assert loss.statistics('mean') == 3 and loss.min() == 1
    loss.update(11.0)
    assert loss.statistics('mean') == 5 and loss.current() == 11
    assert after['buffers']['empty'].data[0].size == 0


def test_what_was_loaded_can_be_saved_and_loaded_again(tmp_path):
    path = tmp_path / 'good.pth'
    torch.save(training_state(), path)
    torch.save(load_checkpoint(path), path)
    assert load_checkpoint(path)['buffers']['loss'].mean() == 3


def test_file_changes_no_statistic_of_the_process(tmp_path):
    path = tmp_path / 'odd.pth'
    buffer = HistoryBuffer([1.0], [1])
    state = dict(buffer.__getstate__(), statistics_methods={'mean': 5})
    torch.save(Reduces(HistoryBuffer.__new__, HistoryBuffer, state=state), path)
    before = dict(HistoryBuffer._statistics_methods)
    with pytest.raises(UnsafeCheckpointError):
        load_checkpoint(path)
    assert HistoryBuffer._statistics_methods == before


def test_same_object_twice_stays_one_object(tmp_path):
    path = tmp_path / 'good.pth'
    buffer, weight = HistoryBuffer([1.0], [1]), torch.ones(2)
    torch.save({'a': buffer, 'b': [buffer], 'c': weight, 'd': weight}, path)
    after = load_checkpoint(path)
    assert after['a'] is after['b'][0]
    assert after['c'] is after['d']


def test_options_of_a_run_come_back(tmp_path):
    path = tmp_path / 'good.pth'
    options = argparse.Namespace(lr=5e-4, data=['a'], decay=np.float64(0.1))
    torch.save({'args': options}, path)
    assert load_checkpoint(path)['args'] == options


@pytest.mark.parametrize('state', ([1], {1: 2}, (1, {'a': 1})))
def test_options_are_only_values_by_name(state, tmp_path):
    path = tmp_path / 'odd.pth'
    torch.save({'args': Reduces(argparse.Namespace, state=state)}, path)
    with pytest.raises(UnsafeCheckpointError, match='Namespace'):
        load_checkpoint(path)


def test_class_the_user_added_is_allowed(tmp_path):
    path = tmp_path / 'good.pth'
    torch.save({'note': Note('mine')}, path)
    with pytest.raises(UnsafeCheckpointError, match=r'test_checkpoints.Note'):
        load_checkpoint(path)
    torch.serialization.add_safe_globals([Note])
    try:
        assert load_checkpoint(path)['note'].text == 'mine'
    finally:
        torch.serialization.clear_safe_globals()


def test_builtin_getattr_stays_refused_when_somebody_adds_it(tmp_path):
    path = tmp_path / 'bad.pth'
    torch.save(Reduces(getattr, HistoryBuffer, 'update'), path)
    torch.serialization.add_safe_globals([getattr])
    try:
        with pytest.raises(UnsafeCheckpointError, match='getattr'):
            load_checkpoint(path)
        assert getattr in torch.serialization.get_safe_globals()
    finally:
        torch.serialization.clear_safe_globals()


def test_loading_leaves_torch_as_it_was(tmp_path):
    path = tmp_path / 'good.pth'
    torch.save(training_state(), path)
    before, load = torch.serialization.get_safe_globals(), torch.load
    load_checkpoint(path)
    assert list(torch.serialization.get_safe_globals()) == list(before)
    assert torch.load is load


@pytest.mark.parametrize('form', ['zip', 'legacy'])
@pytest.mark.parametrize('part', [0.05, 0.5, 0.97])
def test_half_a_file_is_named(form, part, tmp_path):
    path = tmp_path / 'half.pth'
    torch.save({'w': torch.arange(1000)}, path, **FORMATS[form])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(CheckpointError, match=r'half.pth.*cut short') as error:
        load_checkpoint(path)
    assert not isinstance(error.value, UnsafeCheckpointError)


@pytest.mark.parametrize(
    'text',
    [b'', b'version https://git-lfs.github.com/spec/v1\n', b'<html>', b'\x80', b'PK\x03\x04'],
)
def test_something_else_is_named(text, tmp_path):
    path = tmp_path / 'page.pth'
    path.write_bytes(text)
    with pytest.raises(CheckpointError, match=r'page.pth') as error:
        load_checkpoint(path)
    assert f'{len(text)} bytes' in str(error.value)
    assert isinstance(error.value, UserError)


def test_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.pth'):
        load_checkpoint(tmp_path / 'nowhere.pth')


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs no GPU')
def test_missing_gpu_is_not_called_unsafe(tmp_path):
    path = tmp_path / 'good.pth'
    torch.save({'w': torch.ones(2)}, path)
    with pytest.raises(RuntimeError, match='CUDA') as error:
        load_checkpoint(path, map_location='cuda')
    assert not isinstance(error.value, UserError)


def test_open_file_loads_and_is_refused_alike(tmp_path):
    file = io.BytesIO()
    torch.save({'w': torch.ones(2)}, file)
    file.seek(0)
    assert load_checkpoint(file)['w'].tolist() == [1, 1]
    file = io.BytesIO()
    torch.save(Reduces(os.system, 'true'), file)
    file.seek(0)
    with pytest.raises(UnsafeCheckpointError, match=r'posix.system'):
        load_checkpoint(file)


def test_flipped_bit_of_a_weight_is_damage(tmp_path):
    path = tmp_path / 'good.pth'
    torch.save({'w': torch.zeros(1000)}, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r'good.pth cannot be read .*damaged'):
        load_checkpoint(path)
