"""What an annotation file in COCO's format has to fulfil."""

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any


def near(name: str, others: Iterable[str]) -> str:
    """A hint of a name that differs by little, by case or by spaces.

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
    absent = [f'{name}{near(name, unused)}' for name in classes
              if name not in names]  # yapf: disable
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


def is_box(value: Any) -> bool:
    """Whether a value is a list of four finite numbers.

    Example:
        >>> is_box([1, 2, 3.5, 4]), is_box([1, 2, 3]), is_box(None)
        (True, False, False)
    """
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(number, (int, float)) and math.isfinite(number) for number in value)
    )


def _some(names: Sequence[str], limit: int = 12) -> str:
    """The names, or the first of them and how many there are more."""
    more = f' and {len(names) - limit} more' if names[limit:] else ''
    return ', '.join(names[:limit]) + more
