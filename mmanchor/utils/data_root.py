"""Point every split and every score of a config at another folder."""

import os.path as osp
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from .errors import UserError
from .files import PathLike

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_EVALUATORS = ('val_evaluator', 'test_evaluator')


def set_data_root(cfg: Config, data_root: PathLike) -> None:
    """Replace the folder of the data, wherever a config names it.

    A config copies its ``data_root`` into the data sets of three dataloaders
    and into the annotation files of its evaluators. All of these change, and
    so does every other path in them that lies below the old folder.

    Args:
        cfg: A config; changed in place.
        data_root: The new folder.

    Raises:
        UserError: If the data sets have no ``data_root``, or several that
            differ.
    """
    loaders = [cfg[name] for name in _LOADERS if cfg.get(name)]
    old = sorted({root.rstrip('/') for root in _data_roots(loaders)})
    if len(old) != 1:
        found = f'several: {", ".join(old)}' if old else 'none'
        raise UserError(
            f'cannot set the data root {str(data_root)!r}: it takes the place of the one '
            f'data_root of all data sets, but the config {cfg.filename} has {found}. Give the '
            'paths one by one, such as --cfg-options train_dataloader.dataset.data_root=FOLDER'
        )
    new = osp.expanduser(str(data_root)).rstrip('/') or '/'
    for name in ('data_root', *_LOADERS, *_EVALUATORS):
        if cfg.get(name):
            cfg[name] = _moved(cfg[name], old[0], new)


def _data_roots(node: Any) -> Iterator[str]:
    """The values of ``data_root``, however deep data sets are wrapped."""
    if isinstance(node, dict):
        if node.get('data_root'):
            yield str(node['data_root'])
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for each in node:
            yield from _data_roots(each)


def _moved(node: Any, old: str, new: str) -> Any:
    """A copy in which paths at or below ``old`` are at or below ``new``."""
    if isinstance(node, dict):
        return type(node)((key, _moved(value, old, new)) for key, value in node.items())
    if isinstance(node, (list, tuple)):
        return type(node)(_moved(each, old, new) for each in node)
    if isinstance(node, str) and (node == old or node.startswith(f'{old}/')):
        rest = node[len(old) :].lstrip('/')
        return osp.join(new, rest) if rest else new
    return node
