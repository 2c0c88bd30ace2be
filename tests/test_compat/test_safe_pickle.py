"""Pickles of plain data are read; whatever else they hold never runs."""

import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch

from mmanchor.compat import CheckpointError, UnsafeCheckpointError
from mmanchor.compat.safe_pickle import load_plain_pickle

TYPES = (
    'bool',
    'int8',
    'uint8',
    'int16',
    'int32',
    'int64',
    'float16',
    'float32',
    'float64',
    'complex64',
)

FLOAT = np.dtype('f4')


class Reduces:
    """Pickles as a call of ``function(*arguments)``, then ``state``."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments, state)

    def __reduce__(self):
        return self.reduced


class Array:
    """Pickles as numpy pickles an array, with the parts it is given."""

    def __init__(self, shape, data, dtype=FLOAT, version=1, order=False):
        self.state = (version, shape, dtype, order, data)

    def __reduce__(self):
        function, arguments, _ = np.zeros(1).__reduce__()
        return function, arguments, self.state


def write(folder, value, protocol=4):
    path = folder / 'a.pdparams'
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize('protocol', (2, 3, 4))
def test_plain_data_comes_back(tmp_path, protocol):
    rng = np.random.default_rng(0)
    arrays = {name: rng.uniform(-9, 9, (2, 3)).astype(name) for name in TYPES}
    arrays['fortran'] = np.asfortranarray(rng.random((3, 4)))
    arrays['big endian'] = np.arange(5, dtype='>f4')
    arrays['scalar'] = np.array(3.5, np.float32)
    arrays['empty'] = np.zeros((0, 3), np.float32)
    rest = [1, -2.5, None, True, 'text', b'', b'bytes', (1, (2, [3])), 2**40]
    value = OrderedDict(arrays=arrays, rest=rest, again=arrays)
    loaded = load_plain_pickle(write(tmp_path, value, protocol))
    assert loaded['rest'] == rest and list(loaded) == list(value)
    assert loaded['again'] is loaded['arrays']
    for name, array in arrays.items():
        found = loaded['arrays'][name]
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype.newbyteorder('=')
        assert found.flags.writeable
        torch.from_numpy(found)


def test_arrays_of_numpy_1_are_known(tmp_path):
    path = write(tmp_path, np.arange(3, dtype='f4'), 2)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'numpy._core', b'numpy.core'))
    np.testing.assert_array_equal(load_plain_pickle(path), [0, 1, 2])


def test_a_tensor_pickled_as_a_call_of_tuple_comes_as_a_pair(tmp_path):
    pair = Reduces(tuple, ('conv_0.w_0', np.ones(2, np.float32)))
    name, array = load_plain_pickle(write(tmp_path, dict(a=pair)))['a']
    assert name == 'conv_0.w_0' and array.tolist() == [1, 1]


def test_freed_containers_do_not_pass_for_others(tmp_path):
    value = [(i, np.full(1, i)) for i in range(300)]
    loaded = load_plain_pickle(write(tmp_path, value))
    assert [(i, int(array[0])) for i, array in loaded] == [(i, i) for i in range(300)]


def payloads(marker):
    """Ways to run ``touch marker``, and what the error names."""
    system = Reduces(os.system, f'touch {marker}')
    code = f'__import__("os").system("touch {marker}")'
    return {
        'os.system': (system, 'posix.system'),
        'eval': (Reduces(eval, code), 'builtins.eval'),
        'exec': (Reduces(exec, code), 'builtins.exec'),
        'getattr': (Reduces(getattr, 'text', 'format'), 'builtins.getattr'),
        'nested': ([{'a': (1, [system])}], 'posix.system'),
        'in an object array': (np.array([system], object), 'O8'),
        'in an array': (Array((1,), system), 'posix.system'),
        'as a state': (Reduces(OrderedDict, state=system), 'posix.system'),
        'behind a good one': ((np.ones(3), system), 'posix.system'),
    }


@pytest.mark.parametrize('protocol', (2, 4))
@pytest.mark.parametrize('kind', payloads(''))
def test_code_never_runs(tmp_path, kind, protocol):
    marker = tmp_path / 'ran'
    payload, wants = payloads(marker)[kind]
    path = write(tmp_path, payload, protocol)
    with pytest.raises(UnsafeCheckpointError) as caught:
        load_plain_pickle(path)
    assert wants in str(caught.value) and str(path) in str(caught.value)
    assert '--trust-checkpoint' not in str(caught.value)
    assert not marker.exists()


BOMB = np.dtype([('a', 'f4')])


@pytest.mark.parametrize(
    'value, wants',
    [
        (np.array([1, 'a'], object), 'O8'),
        (np.array(['text']), 'a ndarray as a value'),
        (np.zeros(2, BOMB), 'V4'),
        (np.array([b'text']), 'a ndarray as a value'),
        (np.array(['2026-01-01'], 'datetime64[D]'), 'M8'),
        (np.ma.masked_array([1.0]), 'numpy.ma'),
        (np.float32(1), 'float32 as a value'),
        (torch.nn.Linear(1, 1), 'torch.nn'),
        ({1, 2}, 'set as a value'),
        (np.ndarray, 'a class or function'),
        ({(1, 2): 3}, 'tuple as a key'),
        (Array((2**40,), b'\0' * 8), '1099511627776'),
        (Array((2**62, 4), b''), '4611686018427387904'),
        (Array((3,), b'\0' * 8), 'from 8 bytes'),
        (Array((-1,), b'\0' * 8), '-1'),
        (Array((2.0,), b'\0' * 8), '2.0'),
        (Array([2], b'\0' * 8), '[2]'),
        (Array((2,), 'text'), 'something but numbers'),
        (Array((2,), b'\0' * 8, 'f4'), 'something but numbers'),
        (
            Reduces(np.dtype, 'f4', state=(3, '<', None, ('a',), None, 99, 1, 63)),
            'numpy.dtype with fields',
        ),
        (
            Reduces(np.dtype, 'f4', state=(3, 'O', None, None, None, 8, 8, 63)),
            'numpy.dtype with fields',
        ),
        (Reduces(*np.zeros(1).__reduce__()[:2][:1], *np.zeros(1).__reduce__()[1]), 'without data'),
        (Reduces(np.ndarray, (2**40,)), 'without data'),
    ],
)
@pytest.mark.parametrize('protocol', (2, 4))
def test_what_is_not_plain_is_refused(tmp_path, value, wants, protocol):
    with pytest.raises(UnsafeCheckpointError, match='not loaded') as caught:
        load_plain_pickle(write(tmp_path, value, protocol))
    assert wants in str(caught.value)


# Instructions written by hand: protocol 4, ..., stop.
@pytest.mark.parametrize(
    'body, wants',
    [
        (b'c__builtin__\neval\n', 'builtins.eval'),
        (b'\x8c\x08builtins\x8c\x04eval\x93', 'builtins.eval'),
        (b'cmmengine.runner\nRunner\n', 'mmengine.runner.Runner'),
        (b'cnumpy\nndarray\n}b', 'to change a Call'),
        (b'cnumpy\nndarray\nN}\x86b', 'to change a Call'),
        (b'\x82\x01', 'an instruction'),
        (b'Psystem\n', 'an instruction'),
        (b'cnumpy\nndarray\n)\x81', 'without data'),
        (b'\x8c\x0anumpy.core\x8c\x12ndarray.__reduce__\x93', 'numpy.core'),
    ],
)
def test_instructions_beyond_the_list_are_refused(tmp_path, body, wants):
    path = tmp_path / 'a.pdparams'
    path.write_bytes(b'\x80\x04' + body + b'.')
    with pytest.raises(CheckpointError) as caught:
        load_plain_pickle(path)
    assert wants in str(caught.value)


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'not a pickle at all',
        pickle.dumps(dict(a=np.ones(100)), protocol=4)[:-20],
        pickle.dumps(dict(a=np.ones(100)), protocol=2)[:60],
        b'\x80\x04\x8e' + struct.pack('<Q', 2**60) + b'x.',
        b'\x80\x04.',
    ],
)
def test_damaged_files_are_named(tmp_path, data):
    path = tmp_path / 'a.pdparams'
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match='is damaged') as caught:
        load_plain_pickle(path)
    assert f'{len(data)} bytes' in str(caught.value)


def test_other_files_are_named(tmp_path):
    with pytest.raises(CheckpointError, match='Is a directory'):
        load_plain_pickle(tmp_path)
    with pytest.raises(CheckpointError, match='No such file'):
        load_plain_pickle(tmp_path / 'gone.pdparams')
    torch.save(dict(a=torch.ones(2)), tmp_path / 'torch.pth')
    with pytest.raises(CheckpointError, match=r'torch.pth'):
        load_plain_pickle(tmp_path / 'torch.pth')
