"""What a file says of itself: checked once, whoever wrote it."""

import json
from collections.abc import Callable
from typing import Any

from ..utils.errors import UserError
from .images import INTERPOLATIONS, LARGEST_SIDE

FORMAT_VERSION = 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return value in (None, True, False)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _is_side(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int) and 1 <= value <= LARGEST_SIDE


def _is_list(fits: Callable[[Any], bool], number: int | None = None) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list) and number in (None, len(value)) and all(map(fits, value))
    )


_is_pair, _is_color = _is_list(_is_side, 2), _is_list(_is_number, 3)
# What each step needs.
_STEPS: dict[str, dict[str, Callable[[Any], bool]]] = {
    'resize': dict(scale=_is_pair, keep_ratio=_is_flag),
    'resize_within': dict(size=_is_pair),
    'resize_edge': dict(
        size=_is_side, edge=lambda value: value in ('short', 'long', 'width', 'height')
    ),
    'center_crop': dict(size=_is_pair),
    'pad': dict(size=_is_pair, value=_is_color),
    'pad_square': dict(value=_is_color),
}


def _is_step(step: Any) -> bool:
    needed = _STEPS.get(str(step.get('op'))) if isinstance(step, dict) else None
    if needed is None or not all(fits(step.get(key)) for key, fits in needed.items()):
        return False
    names = INTERPOLATIONS.get(str(step.get('backend', 'cv2')), ())
    return step.get('interpolation', 'bilinear') in tuple(names)


# Key -> what it must be, and whether a value is.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'task': ('a task', lambda value: value in ('detection', 'segmentation', 'classification')),
    'results': ('a name of --with', _is_text),
    'classes': ('a list of names', _is_list(_is_text)),
    'outputs': ('a list of names', _is_list(_is_text)),
    'input.size': (f'two sides of 1 to {LARGEST_SIDE} pixels', _is_pair),
    'input.open_axes': ('a list of names', _is_list(_is_text)),
    'input.normalized_inside': ('true or false', lambda value: value in (True, False)),
    'input.flips': ('true or false', _is_flag),
    'input.mean': ('three numbers', lambda value: value is None or _is_color(value)),
    'input.std': (
        'three numbers over 0',
        lambda value: value is None or (_is_color(value) and min(value) > 0),
    ),
    'resize': (f'a list of steps, to {LARGEST_SIDE} pixels at most', _is_list(_is_step)),
    'thresholds': (
        'numbers by name',
        lambda value: (
            value is None or (isinstance(value, dict) and all(map(_is_number, value.values())))
        ),
    ),
}


def fixed_size(metadata: dict[str, Any]) -> tuple[int, int] | None:
    """(H, W) of a file's input; ``None`` if it takes any size."""
    given = metadata['input']
    return None if 'height' in given['open_axes'] else tuple(given['size'])


def steps_of(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps that bring an image to the input of a file.

    They are those of the test pipeline. Where the file takes one size and
    these may end at another, the image is made as large as fits, its shape
    kept, and padded with the mean color; a pipeline that stretches images
    stretches to the size of the file.
    """
    steps, size = metadata['resize'], fixed_size(metadata)
    last = steps[-1] if steps else {}
    if size is None or (last.get('size') == list(size) and last['op'] in ('center_crop', 'pad')):
        return steps
    resizing: dict[str, Any] = next(
        (step for step in reversed(steps) if step['op'].startswith('resize')), dict(op='resize')
    )
    how: dict[str, Any] = {
        key: resizing[key] for key in ('interpolation', 'backend') if key in resizing
    }
    if resizing['op'] == 'resize' and not resizing.get('keep_ratio'):
        return [dict(op='resize', scale=[size[1], size[0]], keep_ratio=False, **how)]
    if metadata['task'] == 'classification':
        return [
            dict(op='resize_edge', size=max(size), edge='short', **how),
            dict(op='center_crop', size=list(size)),
        ]
    given = metadata['input']
    mean = given.get('mean') or [0, 0, 0]
    mean = mean[::-1] if given.get('flips') else mean
    value = (
        last['value'] if last.get('op') in ('pad', 'pad_square') else [round(each) for each in mean]
    )
    return [
        dict(op='resize_within', size=list(size), **how),
        dict(op='pad', size=list(size), value=value),
    ]


def read_metadata(text: str | None, name: str) -> dict[str, Any]:
    """Check the metadata of a file.

    Args:
        text: JSON, or ``None`` if the file has none.
        name: The file.

    Returns:
        The metadata.

    Raises:
        UserError: If it is missing, no metadata of ours, or of a later version.
    """
    if text is None:
        raise UserError(
            f'{name!r} was not written by mmanchor export: it has no metadata of classes and sizes'
        )
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f'the metadata of {name!r} is damaged: {error}') from error
    if not isinstance(metadata, dict) or metadata.get('format_version') != FORMAT_VERSION:
        version = metadata.get('format_version') if isinstance(metadata, dict) else None
        raise UserError(
            f'{name!r} has metadata of version {version!r}, and this mmanchor reads version '
            f'{FORMAT_VERSION}'
        )
    for key, (wanted, fits) in _RULES.items():
        value = metadata
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, dict) else None
        if not fits(value):
            raise UserError(
                f'the metadata of {name!r} is damaged: {key} must be {wanted}, '
                f'got {str(value)[:80]}'
            )
    given = metadata['input']
    if not given['normalized_inside'] and None in (given.get('mean'), given.get('std')):
        raise UserError(f'the metadata of {name!r} lacks input.mean or input.std')
    return metadata
