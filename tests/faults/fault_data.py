"""Broken images, masks and annotation files, in check-data, train and test."""

import json
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from fault_cases import Case, command, fault_of, load_all, tiny_project
from PIL import Image

SHORT = ['--cfg-options', 'train_cfg.max_iters=1', 'val_cfg=None', 'val_dataloader=None',
         'val_evaluator=None']  # fmt: skip
EPOCH = ['--cfg-options', 'train_cfg.max_epochs=1', 'val_cfg=None', 'val_dataloader=None',
         'val_evaluator=None']  # fmt: skip


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """Each fault in a copy of a small project."""
    load_all()
    whole = tiny_project(folder / 'whole')
    draw = random.Random(seed)
    image = next(iter(sorted((whole / 'data/images/training').iterdir())))
    mask = next(iter(sorted((whole / 'data/annotations/training').glob('*.png'))))
    for name, change in {**_image_faults(draw), **_mask_faults()}.items():
        file = mask if name.startswith('mask') else image
        for task in ('check-data', 'train'):
            yield Case(f'{name}, {task}', partial(_seg, folder, whole, file, change, task))
    for name, change in _coco_faults().items():
        for task in ('check-data', 'train'):
            yield Case(f'coco {name}, {task}', partial(_coco, folder, whole, change, task))


def _copy(folder: Path, whole: Path) -> Path:
    project = folder / 'copy'
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(whole, project)
    for config in project.glob('*.py'):
        config.write_text(config.read_text().replace(str(whole), str(project)))
    return project


def _run(project: Path, config: str, task: str, options: list) -> str:
    words = [task, project / config]
    if task == 'train':
        words += ['--work-dir', project / 'w', *options]
    return fault_of(*command(words))


def _seg(folder: Path, whole: Path, file: Path, change, task: str) -> str:
    project = _copy(folder, whole)
    change(project / file.relative_to(whole))
    return _run(project, 'seg.py', task, SHORT)


def _coco(folder: Path, whole: Path, change, task: str) -> str:
    project = _copy(folder, whole)
    path = project / 'data/annotations/instances_train.json'
    data = json.loads(path.read_text())
    text = change(data)
    path.write_text(text if isinstance(text, str) else json.dumps(data))
    return _run(project, 'det.py', task, EPOCH)


def _image_faults(draw: random.Random) -> dict:
    junk = draw.randbytes(500)

    def cut(part: float):
        return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    return {
        'image removed': lambda path: path.unlink(),
        'image empty': lambda path: path.write_bytes(b''),
        'image of text': lambda path: path.write_text('no image'),
        'image of junk': lambda path: path.write_bytes(junk),
        'image cut in half': cut(0.5),
        'image without its end': cut(0.98),
        'image of one pixel': lambda path: Image.new('RGB', (1, 1)).save(path),
        'image of one row': lambda path: Image.new('RGB', (500, 1)).save(path),
        'image in gray': lambda path: Image.new('L', (32, 32)).save(path),
        'image of another size': lambda path: Image.new('RGB', (50, 20)).save(path),
        'image a link to itself': _link_to_itself,
        'image a folder': lambda path: (path.unlink(), path.mkdir()),
    }


def _link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _mask_faults() -> dict:
    def of(array: np.ndarray):
        return lambda path: Image.fromarray(array).save(path)

    return {
        'mask removed': lambda path: path.unlink(),
        'mask empty': lambda path: path.write_bytes(b''),
        'mask of text': lambda path: path.write_text('no mask'),
        'mask cut': lambda path: path.write_bytes(path.read_bytes()[:60]),
        'mask in colors': of(np.zeros((32, 32, 3), 'u1')),
        'mask of another size': of(np.ones((40, 20), 'u1')),
        'mask without such a class': of(np.full((32, 32), 200, 'u1')),
        'mask of 16 bits': of(np.full((32, 32), 1000, 'u2')),
        'mask of 0 and 255': of(np.full((32, 32), 255, 'u1')),
    }


def _coco_faults() -> dict:
    def images(**values):
        return lambda data: [each.update(values) for each in data['images']] and None

    def boxes(**values):
        return lambda data: [each.update(values) for each in data['annotations']] and None

    def drop(part: str, key: str):
        return lambda data: [each.pop(key, None) for each in data[part]] and None

    nan = float('nan')
    return {
        'no JSON': lambda data: '{',
        'nested deep': lambda data: '[' * 100_000 + ']' * 100_000,
        'a list': lambda data: '[]',
        'empty': lambda data: '{}',
        'null': lambda data: 'null',
        **{f'images without {key}': drop('images', key) for key in ('id', 'file_name', 'width')},
        **{
            f'boxes without {key}': drop('annotations', key)
            for key in ('id', 'bbox', 'area', 'iscrowd', 'category_id', 'image_id')
        },
        'width of text': images(width='32'),
        'file_name null': images(file_name=None),
        'file_name a number': images(file_name=5),
        'one id for all images': images(id=1),
        'one id for all boxes': boxes(id=1),
        'image_id of text': boxes(image_id='1'),
        'image_id a list': boxes(image_id=[1]),
        'box of NaN': boxes(bbox=[nan, 0, 1, 1]),
        'box of text': boxes(bbox='0 0 1 1'),
        'box of three': boxes(bbox=[0, 0, 1]),
        'box huge': boxes(bbox=[10**400, 0, 1, 1]),
        'box negative': boxes(bbox=[5, 5, -3, -3]),
        'box null': boxes(bbox=None),
        'area of text': boxes(area='5'),
        'iscrowd of text': boxes(iscrowd='no'),
        'every box a crowd': boxes(iscrowd=1),
        'category unknown': boxes(category_id=99),
        'category null': boxes(category_id=None),
        'no annotations': lambda data: data.update(annotations=[]),
        'no images': lambda data: data.update(images=[]),
        'no categories': lambda data: data.update(categories=[]),
        'categories null': lambda data: data.update(categories=None),
    }
