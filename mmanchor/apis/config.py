"""Write a config for a user's own data, from what lies in a folder."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..utils.config import find_config
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder, replacing
from ..utils.inputs import IMAGE_SUFFIXES

# By task, the config that is copied.
TEMPLATES = {
    'detection': 'picodet_anchorformer-t_1xb8-50e_custom-320',
    'segmentation': 'fpn_anchorformer-t_1xb8-2k_custom-256',
}
IGNORED = 255
# Masks that are read to find out how many classes there are.
_NUM_MASKS = 100
_SPLITS = dict(train=('train',), val=('val', 'test'))


def init_config(task: str, data_root: PathLike, out: PathLike) -> dict[str, Any]:
    """Write a config that trains on a folder of images and labels.

    Detection takes files in COCO's format, one whose name has ``train`` in it
    and one with ``val`` (or ``test``). Segmentation takes a folder of images
    and one of masks for each of both; a mask is named like its image.

    Args:
        task: ``'detection'`` or ``'segmentation'``.
        data_root: The folder that holds all of it.
        out: The file to write, ``.py``; an existing one is not replaced.

    Returns:
        The settings that were found, by their names in the file.

    Raises:
        UserError: If ``task`` is unknown, something is not found in the
            folder, or ``out`` exists.
    """
    if task not in TEMPLATES:
        raise UserError(f'init-config knows {", ".join(TEMPLATES)}, got {task!r}')
    root, path = Path(data_root), Path(out)
    if not root.is_dir():
        raise UserError(f'--data {str(data_root)!r} is not a folder')
    if path.suffix != '.py' or path.exists():
        raise UserError(f'OUT must be a new file that ends in .py, got {path}')
    find = _find_boxes if task == 'detection' else _find_masks
    settings = dict(data_root=root.as_posix(), **find(root))
    make_folder(path.parent, 'the folder of OUT')
    text = find_config(TEMPLATES[task]).read_text(encoding='utf-8')
    head = f'# Written by `mmanchor init-config {task}`. Edit the settings below, and run:\n'
    head += ''.join(f'#     mmanchor {word} {path.name}\n' for word in ('check-data', 'train'))
    text = head + re.sub(r'\A(#.*\n)+', '', _with_settings(text, settings))
    with replacing(path) as part:
        part.write_text(text, encoding='utf-8')
    return settings


def _with_settings(text: str, settings: dict[str, Any]) -> str:
    """The text of a template with other values; its comments stay."""
    for name, value in settings.items():
        old = re.search(rf'^{name} = (?:.*?)(  #.*)?$', text, re.MULTILINE)
        if old is None:
            raise RuntimeError(f'the template has no setting {name}')
        text = f'{text[: old.start()]}{name} = {value!r}{old[1] or ""}{text[old.end() :]}'
    return text


def _find_boxes(root: Path) -> dict[str, Any]:
    files = {path: data for path in _below(root, '*.json') if (data := _read_coco(path))}
    settings: dict[str, Any] = {}
    for split in _SPLITS:
        path = _of_split(split, list(files), root, 'file in COCO format')
        settings[f'{split}_json'] = path.relative_to(root).as_posix()
        settings[f'{split}_images'] = _image_folder(root, path, files[path])
    first = files[root / settings['train_json']]
    names = [each.get('name') if isinstance(each, dict) else None for each in first['categories']]
    if not all(isinstance(name, str) and name for name in names):
        raise UserError(
            f'{root / settings["train_json"]}: each of categories needs a name, got {names}'
        )
    settings['classes'] = tuple(names)
    return settings


def _read_coco(path: Path) -> dict[str, Any] | None:
    """An annotation file; ``None`` if it is another JSON file."""
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        keys = ('images', 'annotations', 'categories')
        is_coco = all(isinstance(data[key], list) and data[key] for key in keys)
        return data if is_coco and data['images'][0]['file_name'] else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _image_folder(root: Path, path: Path, data: dict[str, Any]) -> str:
    """The folder that the file names of an annotation file are relative to."""
    name = str(data['images'][0]['file_name'])
    for folder in (root, *_folders(root)):
        if (folder / name).is_file():
            return '' if folder == root else folder.relative_to(root).as_posix()
    raise UserError(f'--data {root}: the image {name!r} of {path} is in no folder below it')


def _find_masks(root: Path) -> dict[str, Any]:
    holders = {
        folder: Counter(path.suffix for path in folder.iterdir() if _is_image(path))
        for folder in _folders(root)
    }
    holders = {folder: suffixes for folder, suffixes in holders.items() if suffixes}
    masks = [
        folder
        for folder in holders
        if re.search('mask|ann|label', folder.relative_to(root).as_posix().lower())
    ]
    images = [folder for folder in holders if folder not in masks]
    settings: dict[str, Any] = {}
    for split in _SPLITS:
        found = dict(
            images=_of_split(split, images, root, 'folder of images'),
            masks=_of_split(split, masks, root, 'folder of masks (mask, annotation or label)'),
        )
        for what, folder in found.items():
            settings[f'{split}_{what}'] = folder.relative_to(root).as_posix()
    for what, part in (('image', 'images'), ('mask', 'masks')):
        [(suffix, _)] = holders[root / settings[f'train_{part}']].most_common(1)
        settings[f'{what}_suffix'] = suffix
    settings['classes'] = _classes_of_masks(root / settings['train_masks'], settings['mask_suffix'])
    return settings


def _classes_of_masks(folder: Path, suffix: str) -> tuple[str, ...]:
    """Invented names, as many as the masks have values."""
    highest = 0
    for path in sorted(folder.glob(f'*{suffix}'))[:_NUM_MASKS]:
        try:
            mask = np.asarray(Image.open(path))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f'the mask {path} cannot be read: {error}') from error
        if mask.ndim != 2:
            raise UserError(
                f'the mask {path} has colors, {mask.shape}; masks have one channel, whose values '
                'are the indices of the classes'
            )
        highest = max(highest, int(mask[mask != IGNORED].max(initial=0)))
    return tuple(f'class {index}' for index in range(highest + 1))


def _of_split(split: str, paths: list[Path], root: Path, what: str) -> Path:
    """The one path of a split, by its name below the root."""
    for word in _SPLITS[split]:
        found = [path for path in paths if word in path.relative_to(root).as_posix().lower()]
        if len(found) == 1:
            return found[0]
        if found:
            names = ', '.join(str(path) for path in found)
            raise UserError(f'--data {root}: several could be the {what} for {split}: {names}')
    words = ' or '.join(_SPLITS[split])
    raise UserError(f'--data {root}: no {what} has {words} in its name')


def _folders(root: Path) -> list[Path]:
    return sorted(path for depth in ('*', '*/*') for path in root.glob(depth) if path.is_dir())


def _below(root: Path, pattern: str) -> Iterator[Path]:
    for folder in (root, *_folders(root)):
        yield from sorted(folder.glob(pattern))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES
