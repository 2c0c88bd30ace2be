"""Odd images and labels, for every command that reads them."""

import json
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from fault_cases import Case, command, fault_of, load_all, tiny_project
from fault_data import SHORT, _copy
from PIL import Image

# How many cases of broken data a run draws from all of them.
DRAWN = 90
RED = (200, 40, 40)
EPOCH = ['--cfg-options', 'train_cfg.max_epochs=1']


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """Each image alone and in a folder by predict; in data by check-data, train and test."""
    load_all()
    whole = tiny_project(folder / 'whole')
    for task in ('seg', 'det'):
        yield Case(f'{task}: a run to use', partial(_trained, whole, task, folder / task))
    images = folder / 'images'
    images.mkdir()
    for name, write in _images().items():
        write(images / name)
    for task in ('seg', 'det'):
        weights = partial(_weights, folder / task)
        for path in [*sorted(images.iterdir()), images]:
            out = folder / 'p'
            yield Case(
                f'{task}: predict {path.name}', partial(_predict, whole, task, weights, path, out)
            )
    faults = [
        *(
            (f'image {name}', partial(_in_data, 'images', write))
            for name, write in _images().items()
        ),
        *((f'mask {n}', partial(_in_data, 'annotations', write)) for n, write in _masks().items()),
        *((f'coco {name}', partial(_in_coco, change)) for name, change in _coco().items()),
    ]
    every = list(product(faults, ('check-data', 'train', 'test')))
    for (name, fault), task in random.Random(seed).sample(every, min(len(every), DRAWN * times)):
        yield Case(f'{name}, {task}', partial(fault, folder, whole, task))


def _trained(whole: Path, task: str, work: Path) -> str:
    options = ['train_cfg.max_iters=1'] if task == 'seg' else ['train_cfg.max_epochs=1']
    options += ['default_hooks.checkpoint.interval=1', *SHORT[2:]]
    words = ['train', whole / f'{task}.py', '--work-dir', work, '--cfg-options', *options]
    return fault_of(*command(words), (0,))


def _weights(work: Path) -> Path:
    return next(path for path in sorted(work.glob('*_1.pth')))


def _predict(whole: Path, task: str, weights: Callable, path: Path, out: Path) -> str:
    shutil.rmtree(out, ignore_errors=True)
    words = ['predict', whole / f'{task}.py', weights(), path, '--out-dir', out]
    return fault_of(*command(words))


def _in_data(kind: str, write: Callable, folder: Path, whole: Path, task: str) -> str:
    project = _copy(folder, whole)
    for split in ('training', 'validation'):
        path = next(iter(sorted((project / 'data' / kind / split).iterdir())))
        path.unlink()
        # Under the old name, whatever the format: suffixes lie.
        write(path)
    return _run(folder, project, 'seg', task, SHORT)


def _in_coco(change: Callable, folder: Path, whole: Path, task: str) -> str:
    project = _copy(folder, whole)
    path = project / 'data/annotations/instances_train.json'
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return _run(folder, project, 'det', task, EPOCH)


def _run(folder: Path, project: Path, name: str, task: str, options: list) -> str:
    words = [task, project / f'{name}.py']
    if task == 'test':
        words += [_weights(folder / name), '--work-dir', project / 't']
    if task == 'train':
        words += ['--work-dir', project / 'w', *options]
    return fault_of(*command(words))


def _save(mode: str = 'RGB', size: tuple = (32, 32), form: str = 'PNG', **options) -> Callable:
    def write(path: Path) -> None:
        Image.new('RGB', size, RED).convert(mode).save(path, form, **options)

    return write


def _turned(orientation: int) -> Callable:
    def write(path: Path) -> None:
        exif = Image.Exif()
        exif[0x112] = orientation
        Image.new('RGB', (40, 32), RED).save(path, 'JPEG', exif=exif)

    return write


def _header(width: int, height: int) -> bytes:
    """A PNG file that claims a size and holds a few bytes."""
    chunks = (
        (b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)),
        (b'IDAT', zlib.compress(bytes(1000))),
        (b'IEND', b''),
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _bytes(data: bytes) -> Callable:
    return lambda path: path.write_bytes(data)


def _array(array: np.ndarray) -> Callable:
    return lambda path: Image.fromarray(array).save(path, 'TIFF' if array.dtype == 'f4' else 'PNG')


def _images() -> dict[str, Callable]:
    frames = [Image.new('RGB', (32, 32), (number * 40, 0, 0)) for number in range(3)]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    return {
        **{f'turned{number}.jpg': _turned(number) for number in (0, 2, 3, 4, 5, 6, 7, 8, 99)},
        'one.png': _save(size=(1, 1)),
        'row.png': _save(size=(3000, 1)),
        'column.png': _save(size=(1, 3000)),
        'gray.png': _save('L'),
        'bit.png': _save('1'),
        'palette.png': _save('P'),
        'alpha.png': _save('RGBA'),
        'gray_alpha.png': _save('LA'),
        'cmyk.jpg': _save('CMYK', form='JPEG'),
        'progressive.jpg': _save(form='JPEG', progressive=True),
        'still.gif': _save('P', form='GIF'),
        'moving.gif': lambda path: frames[0].save(
            path, 'GIF', save_all=True, append_images=frames[1:]
        ),
        'image.bmp': _save(form='BMP'),
        'image.webp': _save(form='WEBP'),
        'png_in.jpg': _save(form='PNG'),
        'jpeg_in.png': _save(form='JPEG'),
        'deep.png': _array(np.full((32, 32), 60_000, 'u2')),
        'twelve.png': _array(np.full((32, 32), 4000, 'u2')),
        'float.tif': _array(np.full((32, 32), 0.5, 'f4')),
        'text.jpg': _bytes(b'no image'),
        'vector.png': _bytes(svg),
        'empty.jpg': _bytes(b''),
        'magic.png': _bytes(b'\x89PNG\r\n\x1a\n'),
        'large.png': lambda path: Image.new('L', (12_000, 12_000)).save(path),
        'bomb.png': _bytes(_header(2**31 - 1, 2**31 - 1)),
        'bomb_that_opens.png': _bytes(_header(60_000, 60_000)),
        'loop.png': lambda path: path.symlink_to(path.name),
        'nowhere.png': lambda path: path.symlink_to('/no/such/file.png'),
        'folder.png': lambda path: path.mkdir(),
        'a b\u00fc%s.png': _save(),
    }


def _masks() -> dict[str, Callable]:
    return {
        'of 0 and 255': _array(np.full((32, 32), 255, 'u1')),
        'of 1 bit': _save('1'),
        'with a palette': _save('P'),
        'of RGBA': _save('RGBA'),
        'of gray and alpha': _save('LA'),
        'as JPEG': _save('L', form='JPEG'),
        'as GIF': _save('P', form='GIF'),
        'of 16 bits that wrap': _array(np.full((32, 32), 257, 'u2')),
        'of 16 bits': _array(np.full((32, 32), 2, 'u2')),
        'of floats': _array(np.full((32, 32), 1.5, 'f4')),
        'larger': _array(np.ones((64, 64), 'u1')),
        'turned': _array(np.ones((16, 64), 'u1')),
        'empty': _bytes(b''),
        'a loop': lambda path: path.symlink_to(path.name),
        'a folder': lambda path: path.mkdir(),
    }


def _coco() -> dict[str, Callable]:
    def each(part: str, **values) -> Callable:
        return lambda data: [item.update(values) for item in data[part]]

    def boxes(change: Callable) -> Callable:
        return lambda data: [
            item.update(bbox=change(*item['bbox'])) for item in data['annotations']
        ]

    rle = dict(counts=[1024], size=[32, 32])
    return {
        'corners as sizes': boxes(lambda x, y, w, h: [x, y, x + w, y + h]),
        'fractions': boxes(lambda x, y, w, h: [x / 32, y / 32, w / 32, h / 32]),
        'infinite boxes': boxes(lambda *box: [0, 0, float('inf'), 1]),
        'boxes of bools': boxes(lambda *box: [True, False, True, True]),
        'boxes far outside': boxes(lambda *box: [1e9, 1e9, 5, 5]),
        'boxes of dicts': boxes(lambda *box: dict(x=1)),
        'boxes of nested lists': boxes(lambda *box: [[0, 0, 5, 5]]),
        'crowds of RLE': each('annotations', iscrowd=1, segmentation=rle),
        'RLE of text': each('annotations', segmentation=dict(counts='x', size=[1, 1])),
        'segmentation of text': each('annotations', segmentation='x'),
        'iscrowd true': each('annotations', iscrowd=True),
        'area NaN': each('annotations', area=float('nan')),
        'area negative': each('annotations', area=-5),
        'category of text': each('annotations', category_id='1'),
        'category a list': each('annotations', category_id=[1]),
        'annotation ids of text': each('annotations', id='a'),
        'annotation ids null': each('annotations', id=None),
        'image ids of text': each('images', id='a'),
        'image ids null': each('images', id=None),
        'image ids lists': each('images', id=[1]),
        'image ids huge': each('images', id=10**30),
        'one file for all': lambda data: each('images', file_name='train_000.jpg')(data),
        'file names outside': each('images', file_name='../../../../etc/passwd'),
        'file names absolute': each('images', file_name='/etc/passwd'),
        'file names with NUL': each('images', file_name='a\0b'),
        'file names very long': each('images', file_name='x' * 5000),
        'sizes negative': each('images', width=-32, height=-32),
        'sizes huge': each('images', width=10**400),
        'sizes 0': each('images', width=0, height=0),
        'one name for all categories': each('categories', name='red'),
        'one id for all categories': each('categories', id=1),
        'categories without names': lambda data: [item.pop('name') for item in data['categories']],
        'names of categories null': each('categories', name=None),
        'names of categories lists': each('categories', name=['red']),
        'images of null': lambda data: data.update(images=[None] * 3),
        'annotations of numbers': lambda data: data.update(annotations=[5]),
        'annotations a dict': lambda data: data.update(annotations={'a': 1}),
        'images a dict': lambda data: data.update(images={'a': 1}),
    }
