"""Small files that ask for endless time or memory are refused at once."""

import io
import pickle
import struct
import threading
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from mmanchor.compat import CheckpointError, load_checkpoint
from mmanchor.compat.safe_pickle import load_plain_pickle

HEAD = b'\x80\x02'
GLOBAL = b'ccollections\nOrderedDict\n'
NAMESPACE = b'cargparse\nNamespace\n)\x81'
TWICE = dict(
    tuple=b'2\x86', list=b'q\x00]h\x00ah\x00a', dict=b'q\x00}X\x01\0\0\0ah\x00sX\x01\0\0\0bh\x00s'
)


def levels(kind, number, base=b')'):
    """A container that holds the one below it twice, many levels high."""
    return base + TWICE[kind] * number


def long_list(number):
    """A list of pairs."""
    return b'](' + b'K\x01K\x01\x86' * number + b'e'


# Each is a pickle's body that leaves one value; its stop follows.
BODIES = {
    'shared tuples': levels('tuple', 60),
    'shared lists': levels('list', 60),
    'shared dicts': levels('dict', 60),
    'a key of shared tuples': b'}' + levels('tuple', 60) + b'K\x01s',
    'a member of a set of shared tuples': b'\x8f(' + levels('tuple', 60) + b'\x90',
    'a set of them by a call': b'c__builtin__\nset\n]' + levels('tuple', 60) + b'a\x85R',
    'a key by a call': GLOBAL + b']' + levels('tuple', 60) + b'K\x01\x86a\x85R',
    'shared in options': NAMESPACE + b'}X\x01\0\0\0a' + levels('tuple', 60) + b'sb',
    'shared beside weights': GLOBAL + b')R}X\x09\0\0\0_metadata' + levels('tuple', 60) + b'sb',
    'lists very deep': b']' * 100_000 + b'a' * 99_999,
    'tuples very deep': b')' + b'\x85' * 100_000,
    'dicts very deep': b'}K\x01' * 20_000 + b'Ns' + b's' * 19_999,
    'a list that holds itself': b']q\x00h\x00a',
    'a list copied again and again': (
        long_list(3_000) + b'q\x01' + b'](' + (GLOBAL + b'h\x01\x85R') * 3_000 + b'e'
    ),
    'text encoded again and again': (
        b'X' + struct.pack('<I', 100_000) + b'a' * 100_000 + b'q\x01X\x06\0\0\0latin1q\x02'
        + b'](' + b'c_codecs\nencode\nh\x01h\x02\x86R' * 5_000 + b'e'
    ),
    'numbers of one hash': (
        b'}('
        + b''.join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b'N' for i in range(1, 20_000))
        + b'u'
    ),
    'a number of a million digits': b'\x8b' + struct.pack('<i', 500_000) + b'\x7f' * 500_000,
    'a huge bytearray': b'c__builtin__\nbytearray\n\x8a\x06\0\0\0\0\0\x10\x85R',
    'a length of bytes': b'\x8e' + struct.pack('<Q', 2**60),
    'a length of text': b'X' + struct.pack('<I', 2**32 - 1),
    'a length of a frame': b'\x95' + struct.pack('<Q', 2**50),
    'shared tuples as a type': b'cnumpy\ndtype\n' + levels('tuple', 60) + b'\x85R',
    'shared tuples as a location': b'(X\x07\0\0\0storageN' + levels('tuple', 60) + b'NNtQ',
    'a name of a megabyte': b'c' + b'a' * 1_000_000 + b'\nb\n',
    'a huge shape': b'ctorch\nSize\n(\x8a\x09' + b'\xff' * 8 + b'\x00t\x85R',
}  # fmt: skip


def within(seconds, function, *args):
    """What a call raises, which must come soon and take little memory."""
    caught = []

    def call():
        try:
            function(*args)
        except BaseException as error:
            caught.append(error)

    tracemalloc.start()
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not thread.is_alive(), 'still reading'
    assert peak < 600e6
    return caught[0] if caught else None


def as_zip(body):
    file = io.BytesIO()
    torch.save({'w': torch.ones(2)}, file)
    out = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, 'w') as new:
        for item in old.infolist():
            data = HEAD + body + b'.' if item.filename.endswith('data.pkl') else old.read(item)
            new.writestr(item.filename, data)
    return out.getvalue()


def as_legacy(body):
    file = io.BytesIO()
    torch.save(1, file, _use_new_zipfile_serialization=False)
    data = file.getvalue()
    return data[: data.index(b'\x80\x02K\x01.')] + HEAD + body + b'.' + b'\x80\x02]q\x00.'


@pytest.mark.parametrize('form', [as_zip, as_legacy])
@pytest.mark.parametrize('kind', BODIES)
def test_checkpoint_is_refused_at_once(kind, form, tmp_path):
    path = tmp_path / 'bomb.pth'
    path.write_bytes(form(BODIES[kind]))
    error = within(20, load_checkpoint, path)
    assert isinstance(error, CheckpointError) and len(str(error)) < 1000


@pytest.mark.parametrize('kind', BODIES)
def test_plain_pickle_is_refused_at_once(kind, tmp_path):
    path = tmp_path / 'bomb.pdparams'
    path.write_bytes(HEAD + BODIES[kind] + b'.')
    assert isinstance(within(20, load_plain_pickle, path), CheckpointError)


def test_zip_that_unpacks_to_a_gigabyte_is_refused(tmp_path):
    path = tmp_path / 'bomb.pth'
    torch.save({'w': torch.zeros(2**20)}, path)
    out = tmp_path / 'packed.pth'
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item))
    assert out.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match='unpacked'):
        load_checkpoint(out)


@pytest.mark.parametrize('form', [True, False])
def test_storage_larger_than_its_data_is_refused(form, tmp_path):
    path = tmp_path / 'bomb.pth'
    torch.save({'w': torch.zeros(200)}, path, _use_new_zipfile_serialization=form)
    data = path.read_bytes()
    # The number of values, as the pickle gives it for the storage.
    changed = data.replace(b'K\xc8tq', b'M\xc8\xfftq').replace(b'K\xc8Ntq', b'M\xc8\xffNtq')
    assert changed != data
    if form:
        with zipfile.ZipFile(path) as old:
            entries = {item.filename: old.read(item) for item in old.infolist()}
        with zipfile.ZipFile(path, 'w') as new:
            for name, value in entries.items():
                new.writestr(name, value.replace(b'K\xc8tq', b'M\xc8\xfftq'))
    else:
        path.write_bytes(changed)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_tensors_far_larger_than_their_data_are_refused(tmp_path):
    path = tmp_path / 'bomb.pth'
    torch.save([torch.ones(1).expand(2**30)], path)
    assert path.stat().st_size < 10_000
    with pytest.raises(CheckpointError, match='larger than their data'):
        load_checkpoint(path)
    big = torch.ones(2**18)
    torch.save([big[i:] for i in range(2000)], path)
    with pytest.raises(CheckpointError, match='larger than their data'):
        load_checkpoint(path)


def test_what_training_shares_stays_allowed(tmp_path):
    path = tmp_path / 'good.pth'
    weight, betas = torch.ones(1000), (0.9, 0.999)
    groups = [dict(betas=betas, lr=np.float64(0.1), params=[i]) for i in range(3000)]
    torch.save(dict(a=weight, b=weight[:10], c=weight.expand(5, 1000), groups=groups), path)
    loaded = load_checkpoint(path)
    assert loaded['groups'] == groups and loaded['c'].shape == (5, 1000)


def test_buffers_that_copy_one_array_again_and_again_are_refused(tmp_path):
    from mmengine.logging import HistoryBuffer

    path = tmp_path / 'bomb.pth'
    values = np.ones(100_000)
    buffers = [HistoryBuffer([1.0], [1]) for _ in range(300)]
    for buffer in buffers:
        buffer._log_history = buffer._count_history = values
    torch.save(buffers, path)
    assert path.stat().st_size < 2_000_000
    assert isinstance(within(20, load_checkpoint, path), CheckpointError)


def test_shape_of_many_huge_numbers_is_refused(tmp_path):
    path = tmp_path / 'bomb.pdparams'
    huge = b'\x8a\xfe' + b'\x7f' * 254
    array = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85Ntr'
    dtype = b'cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR'
    state = b'(K\x01(' + huge * 20_000 + b't' + dtype + b'\x89C\x00tb'
    path.write_bytes(b'\x80\x03' + array.replace(b'Ntr', b'NtR') + state + b'.')
    assert 'with the shape' in str(within(20, load_plain_pickle, path))


class _Calls:
    """Pickled as a call, and a state for what it returns."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments, state)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize('form', [True, False])
@pytest.mark.parametrize('kind', ['tuple', 'set', 'OrderedDict', 'dtype', 'array', 'Size'])
def test_a_tensor_that_repeats_one_number_is_not_gone_through(tmp_path, kind, form):
    endless = torch.ones(1).expand(2**40)
    value = {
        'tuple': _Calls(tuple, endless),
        'set': _Calls(set, endless),
        'OrderedDict': _Calls(OrderedDict, endless.expand(2, 2**40).T),
        'dtype': _Calls(np.dtype, 'f4', False, True, state=endless),
        'array': _Calls(np.zeros(0).__reduce__()[0], np.ndarray, (0,), b'b', state=endless),
        'Size': _Calls(torch.Size, endless),
    }[kind]
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'w': value}}, path, _use_new_zipfile_serialization=form)
    assert isinstance(within(20, load_checkpoint, path), CheckpointError)
