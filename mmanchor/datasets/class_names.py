"""Whether the class names of a config fit those of a data set."""

import difflib
import os.path as osp
import re
from collections.abc import Iterable, Sequence
from typing import Any


def near(name: str, others: Iterable[str]) -> str:
    """A hint at a name that differs by little, by case or by spaces.

    Args:
        name: The name that was not found.
        others: Those that exist.

    Returns:
        Such as ``" (near 'Red')"``; empty if nothing is near.

    Example:
        >>> near('red', ['Red', 'blue'])
        " (near 'Red')"
    """
    lower = {other.lower(): other for other in others}
    close = difflib.get_close_matches(name.lower(), lower, 1, 0.75)
    return f' (near {lower[close[0]]!r})' if close else ''


def text_fault(classes: Any) -> str | None:
    """Say why ``metainfo.classes`` is text in place of a list of names.

    Python reads ``('car')`` as the text ``'car'``, and the toolboxes then
    take every letter for a class.

    Args:
        classes: The value in the config.

    Returns:
        What would be right; ``None`` for a list, or the path of a file with
        names.

    Example:
        >>> text_fault('car')[-22:]
        "write classes=('car',)"
    """
    if not isinstance(classes, str) or osp.isfile(classes) or '://' in classes:
        return None
    right = f'({classes!r},)'
    return f'metainfo.classes is the text {classes!r}, not a list of names; write classes={right}'


def class_fault(classes: Sequence[str], names: Sequence[str]) -> str | None:
    """Say why a class list does not fit the categories of a file.

    A file may have more categories than the list. The order must be the
    file's: mmdet numbers labels by the file, and metrics do so too.

    Args:
        classes: The class list, in the order of the labels.
        names: The categories of the file, in its order.

    Returns:
        What is wrong and what would be right; ``None`` if they fit.

    Example:
        >>> class_fault(('red', 'blue'), ('red', 'green', 'blue'))
        >>> class_fault(('blue', 'red'), ('red', 'blue'))[-15:]
        "('red', 'blue')"
    """
    unused = [name for name in names if name not in classes]
    absent = [f'{name}{near(name, unused)}' for name in classes if name not in names]
    if absent:
        return (
            'classes of metainfo that the file does not have: '
            f'{_some(absent)}; categories of the file that metainfo does '
            f'not have: {_some(unused) or "none"}'
        )
    order = tuple(name for name in names if name in classes)
    repeated = sorted({name for name in order if order.count(name) > 1})
    if repeated:
        return f'categories of the file share a name: {_some(repeated)}'
    if order != tuple(classes):
        return (
            'metainfo lists the classes in another order than the file, '
            f'so that names would be swapped; write classes={order}'
        )
    return None


def order_fault(trained: Sequence[str], scored: Sequence[str]) -> str | None:
    """Say why the classes of a checkpoint do not fit those of a data set.

    Names that only one of them has may be another spelling; a name that both
    have must be the same label, and there must be such names.

    Args:
        trained: Class names in the checkpoint.
        scored: Class names of the data set, in the order of the labels.

    Returns:
        The first difference; ``None`` if there is none.

    Example:
        >>> order_fault(('cat', 'dog'), ('dog', 'cat'))
        "label 0 is 'cat' in the checkpoint, and 'dog' in the data set"
        >>> order_fault(('cat', 'motorbike'), ('Cat', 'motorcycle'))
    """
    trained, scored = ([_spelled(name) for name in names] for names in (trained, scored))
    both = set(trained) & set(scored)
    if trained and scored and not both:
        return f'they have no class in common ({_some(trained)}; {_some(scored)})'
    for label, (one, other) in enumerate(zip(trained, scored, strict=False)):
        if one != other and {one, other} & both:
            return f'label {label} is {one!r} in the checkpoint, and {other!r} in the data set'
    return None


def _some(names: Sequence[str], limit: int = 12) -> str:
    """The names, or the first of them and how many there are more."""
    more = f' and {len(names) - limit} more' if names[limit:] else ''
    return ', '.join(names[:limit]) + more


def _spelled(name: str) -> str:
    return re.sub(r'[\s_-]', '', str(name)).lower()
