"""Hostile .safetensors files, pointers to checkpoints, and config files."""

import json
import os
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fault_cases import Case, command, fault_of, forked, load_all, tiny_project


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """Each file read alone and by the commands that take one."""
    load_all()
    project = tiny_project(folder / 'project')
    image = project / 'data/images/validation/valid_000.jpg'
    for name, data in _safetensors().items():
        path = folder / 'a.safetensors'
        yield Case(f'.safetensors, {name}', partial(_read, path, data))
    for name in ('dataset_meta of text', 'deep metadata', 'names as paths'):
        path = folder / f'{name}.safetensors'
        path.write_bytes(_safetensors()[name])
        for words in (
            ['test', project / 'seg.py', path, '--work-dir', folder / 't'],
            ['predict', project / 'seg.py', path, image, '--out-dir', folder / 'p'],
            ['publish', path, folder / 'published.pth'],
        ):
            yield Case(f'.safetensors, {name}, {words[0]}', partial(_command, words, folder))
    for number, text in enumerate(_pointers(folder)):
        pointer = folder / str(number) / 'last_checkpoint'
        pointer.parent.mkdir()
        pointer.write_bytes(text)
        for words in (
            ['test', project / 'seg.py', pointer],
            ['train', project / 'seg.py', '--work-dir', pointer.parent, '--resume', pointer],
        ):
            yield Case(
                f'last_checkpoint {text[:20]!r}, {words[0]}', partial(_command, words, folder)
            )
    for name, text in _configs(folder).items():
        path = folder / f'{name}.py'.replace(' ', '_')
        path.write_bytes(text)
        for words in (['print-config', path], ['train', path, '--work-dir', folder / 'w']):
            # An interrupt raised by a config is Ctrl+C to everybody who sees it: 130.
            allowed = (130,) if name == 'an interrupt' else (0, 1, 2)
            yield Case(f'config, {name}, {words[0]}', partial(_command, words, folder, allowed))


def _read(path: Path, data: bytes) -> str:
    path.write_bytes(data)

    def run() -> int:
        from mmanchor.compat import CheckpointError, load_checkpoint

        try:
            load_checkpoint(path)
        except CheckpointError as error:
            return 0 if len(str(error)) < 2000 else 3
        return 0

    return fault_of(*forked(run, 20), (0,))


def _command(words: list, folder: Path, allowed: tuple[int, ...] = (0, 1, 2)) -> str:
    return fault_of(*command(words, cwd=folder), allowed)


def _file(header: object, data: bytes = b'\0' * 8, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text) if length is None else length) + text + data


def _tensor(begin: int = 0, end: int = 8, shape: tuple = (2,), dtype: str = 'F32') -> dict:
    return dict(dtype=dtype, shape=list(shape), data_offsets=[begin, end])


def _safetensors() -> dict[str, bytes]:
    deep = '[' * 100_000 + ']' * 100_000
    pair = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    return {
        'nothing': b'',
        'a header of 2^63 bytes': _file({}, length=2**63),
        'a header longer than the file': _file({}, length=10_000),
        'a header of 100 MB': struct.pack('<Q', 100_000_001) + b' ' * 1000,
        'no JSON': _file(b'{'),
        'deep JSON': _file(('{"a":' + deep + '}').encode()),
        'overlapping tensors': _file({'a': _tensor(), 'b': _tensor()}),
        'a hole between tensors': _file({'a': _tensor(4, 12)}, b'\0' * 12),
        'a name twice': _file(f'{{{pair},{pair}}}'.encode()),
        'negative offsets': _file({'a': _tensor(-8, 0)}),
        'a tensor beyond the file': _file({'a': _tensor(0, 2**40, (2**38,))}),
        'sizes that overflow': _file({'a': _tensor(0, 8, (2**62, 2**62))}),
        'an unknown type': _file({'a': _tensor(dtype='X9')}),
        'a shape of text': _file({'a': dict(dtype='F32', shape='2', data_offsets=[0, 8])}),
        'metadata of numbers': _file({'__metadata__': {'a': 5}, 'a': _tensor()}),
        'deep metadata': _file({'__metadata__': {'epoch': deep}, 'a': _tensor()}),
        'dataset_meta of text': _file({'__metadata__': {'dataset_meta': '"x"'}, 'a': _tensor()}),
        'names as paths': _file({'../../x': _tensor(), '__metadata__': {'/etc/x': '1'}}),
    }


def _pointers(folder: Path) -> tuple[bytes, ...]:
    return (
        b'', b'\n', b'\xff\xfe\0\0', b'a' * 5000, b'/' + b'a' * 300 + b'/x.pth', b'/etc/passwd',
        b'/dev/zero', b'http://127.0.0.1:1/x.pth', b'open-mmlab://resnet50', b'~/x.pth', b'.',
        b'../../../../etc/passwd', b'last_checkpoint', b'a\0b', os.fsencode(folder),
    )  # fmt: skip


def _configs(folder: Path) -> dict[str, bytes]:
    marker = str(folder / 'no such').encode()
    return {
        'its own base': b"_base_ = './its_own_base.py'\n",
        'two that are bases of each other': b"_base_ = './the_other.py'\n",
        'the other': b"_base_ = './two_that_are_bases_of_each_other.py'\n",
        'a base that is a number': b'_base_ = 5\n',
        'a base that is a folder': b"_base_ = '.'\n",
        'a base that is missing': b"_base_ = '" + marker + b".py'\n",
        'a base of a package that is missing': b"_base_ = 'nosuch::a.py'\n",
        'a key twice in bases': b"_base_ = ['./empty.py', './empty.py']\n",
        'empty': b'',
        'no UTF-8': b'a = "\xff"\n',
        'no Python': b'model = (\n',
        'JSON': b'{"model": {}}',
        'a zip file': b'PK\x03\x04' + bytes(100),
        'a checkpoint by name': b'\x80\x02}q\0.',
        'deep brackets': b'a = ' + b'(' * 5000 + b')' * 5000,
        'an error': b'1 / 0\n',
        'an exit': b'raise SystemExit(3)\n',
        'an interrupt': b'raise KeyboardInterrupt\n',
        'deleting nothing': b'_base_ = []\nmodel = dict(_delete_=True, type=5)\n',
        'an import that is missing': b"custom_imports = dict(imports=['no_such_module'])\n",
        'custom_imports of a number': b'custom_imports = 5\n',
        'lazy': b'from mmengine.config import read_base\nwith read_base():\n    import no\n',
        'braces': b"model = dict(type='{{ fileDirname }}{{ nosuch }}')\n",
        'environment': b"model = dict(type='{{$NO_SUCH_VARIABLE}}')\n",
    }
