"""What the measuring commands share: configs, image sizes and result files."""

import argparse
from collections.abc import Sequence
from typing import Any

from ...utils.errors import UserError
from ..options import add_cfg_options


def add_configs(parser: argparse.ArgumentParser, note: str) -> None:
    """Add the configs, ``--cfg-options`` and ``--shape``.

    Args:
        parser: The command's parser.
        note: The end of the help of the configs.
    """
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='paths or names of configs, also of the toolboxes, such as '
        f'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py; {note}',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='image height and width, or one number for both (default: the size that the config '
        'tests at, such as 512 2048 on ADE20K)',
    )


def parse_shape(shape: Sequence[int] | None) -> tuple[int, int] | None:
    """Read ``--shape``.

    Args:
        shape: One or two numbers of pixels; ``None`` if it was not given.

    Returns:
        Height and width; ``None`` for the size of each config.

    Raises:
        UserError: If there are more numbers, or one is below 1.

    Example:
        >>> parse_shape([224])
        (224, 224)
    """
    if shape and (len(shape) > 2 or min(shape) < 1):
        raise UserError(
            '--shape takes a height and a width in pixels, or one number for both, '
            f'got {" ".join(map(str, shape))}'
        )
    return (shape[0], shape[-1]) if shape else None


def write_and_print(
    out_dir: str, name: str, results: dict[str, Any], table: str, figure: Any | None = None
) -> None:
    """Print the table, write the result files and say where they are.

    Args:
        out_dir: The folder.
        name: The files' name.
        results: What can be written as JSON.
        table: Markdown.
        figure: A figure of matplotlib.
    """
    from pathlib import Path

    from ...analysis.report import write_results

    print(table)
    for path in write_results(Path(out_dir), name, results, table, figure):
        print(f'written to {path}')
