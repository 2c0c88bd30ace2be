"""Explanations of a user's own images, written to files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..inference.model import Model
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder
from ..utils.inputs import Frame, open_input
from ..utils.progress import Track, silently
from .anchors import save_image
from .cam_sheets import draw_comparison
from .cams import CamExplanation, cam_class
from .comparing import explain_by_each
from .explaining import default_cam, default_method, explain_frame

COMPARISON = 'comparison.png'
# More would be too small to look at.
_COLUMNS = 8


@dataclass
class ExplainSummary:
    """What was done.

    Args:
        folder: Where the sheets are.
        files: The sheets.
        skipped: Files without a sheet -> why.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def explain_files(
    models: Mapping[str, Model],
    source: Any,
    out_dir: PathLike,
    options: Mapping[str, Any],
    track: Track = silently,
) -> ExplainSummary:
    """Explain images, one sheet for each, or one sheet of several models.

    Args:
        models: Name in the sheet -> model. One model gives ``NAME.png`` for each
            image; several give ``comparison.png``, with up to eight images.
        source: As for :func:`~mmanchor.utils.inputs.open_input`.
        out_dir: Folder for the sheets.
        options: Options of :func:`mmanchor.explain`.
        track: Shows progress.

    Returns:
        What was done.

    Raises:
        UserError: If an image that was named itself cannot be explained, or
            none can.
    """
    first = next(iter(models.values()))
    inputs = open_input(source, skip=out_dir, check=first.check_size)
    if inputs.clips:
        raise UserError('explain takes images, and no videos or webcams')
    options = dict(options)
    method = options.pop('method', None)
    method = method or (default_method if len(models) == 1 else default_cam)(first)
    if method != 'anchors':
        cam_class(method)
    summary = ExplainSummary(make_folder(out_dir, '--out-dir'))
    columns: list[list[CamExplanation]] = []
    for frame in track(inputs, 'explaining', inputs.total):
        try:
            if len(models) > 1:
                if len(columns) < _COLUMNS:
                    columns.append(explain_by_each(list(models.values()), frame, method, options))
                else:
                    summary.skipped[frame.file] = f'a comparison shows {_COLUMNS} images at most'
                continue
            one = explain_frame(first, frame, method=method, **options)
            summary.files.append(one.save(summary.folder / f'{frame.name}.png'))
        except UserError as error:
            _skip(summary, frame, error, inputs.each_counts)
    if columns:
        sheet = draw_comparison(list(models), columns)
        summary.files.append(save_image(sheet, summary.folder / COMPARISON))
    if not summary.files:
        file, reason = next(iter(summary.skipped.items()))
        raise UserError(f'no image could be explained: {file}: {reason}')
    return summary


def _skip(summary: ExplainSummary, frame: Frame, error: UserError, each_counts: bool) -> None:
    """Pass an image over, unless the user named it."""
    if each_counts:
        raise error
    summary.skipped[frame.file] = str(error)


def sheet_names(configs: Sequence[str]) -> list[str]:
    """Names of models in a sheet: those of their configs, without schedule.

    Example:
        >>> sheet_names(['configs/deit-t_8xb128-300e_in1k-224.py', 'a.py', 'b/a.py'])
        ['deit-t', 'a', 'a 2']
    """
    names: list[str] = []
    for config in configs:
        name = Path(config).stem.partition('_')[0]
        number = sum(each == name or each.startswith(f'{name} ') for each in names)
        names.append(f'{name} {number + 1}' if number else name)
    return names
