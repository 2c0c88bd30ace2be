"""Results as files: JSON for programs, Markdown and a plot for readers."""

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..compat.stack import find_stack
from ..utils.files import make_folder, replacing, write_json
from .provenance import provenance


def measured(device: str = 'cpu', **more: Any) -> dict[str, Any]:
    """What a benchmark's numbers have to be told with.

    Args:
        device: 'cpu' or the CUDA device that was measured.
        **more: What else there is to say, such as the input size.

    Returns:
        What :func:`~mmanchor.analysis.provenance.provenance` says, the
        ``command`` that runs, the versions of the ``toolboxes``, the
        ``device``, whether torch's allocator is told to take ``huge_pages``,
        and ``more``.
    """
    return dict(
        provenance(),
        huge_pages=os.environ.get('THP_MEM_ALLOC_ENABLE') == '1',
        command=_command(),
        toolboxes=find_stack().versions,
        device='cpu' if device == 'cpu' else torch.cuda.get_device_name(device),
        **more,
    )


def _command() -> str:
    """The command that runs, as it would be given to ``mmanchor``."""
    program = Path(sys.argv[0])
    words = sys.argv[1:]
    if program.name == 'benchmark.py':  # in tools/, its name is the word
        words = [program.stem, *words]
    return shlex.join(['mmanchor', *words])


def told(measured: dict[str, Any]) -> str:
    """One sentence on where and with what something was measured.

    Args:
        measured: What :func:`measured` gave.
    """
    where = f'{measured["cores"]} cores of {measured["processor"]}'
    if measured['device'] != 'cpu':
        where = f'{measured["device"]} and {where}'
    command = measured['command']
    if measured['huge_pages']:
        command = f'THP_MEM_ALLOC_ENABLE=1 {command}'
    packages = dict(torch=measured['torch'], **measured.get('packages', {}))
    versions = ', '.join(f'{name} {each}' for name, each in packages.items())
    threads = count_of(measured['threads'], 'thread')
    return (
        f'Measured by `{command}` at commit `{measured["commit"]}` on '
        f'{where}, {threads}, Python {measured["python"]}, {versions}.'
    )


def count_of(number: int, what: str) -> str:
    """A number of things, in words.

    Example:
        >>> count_of(1, 'thread'), count_of(2, 'thread')
        ('1 thread', '2 threads')
    """
    return f'{number} {what}{"" if number == 1 else "s"}'


def short_name(config: str) -> str:
    """The name by which tables call a config: its file's.

    Example:
        >>> short_name('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py')
        'yolox_tiny_8xb8-300e_coco'
    """
    return Path(config).name.removesuffix('.py').rpartition('::')[2]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table.

    Args:
        head: Titles of the columns. One that ends in ':' is of numbers, and
            its column stands to the right; the ':' is not shown.
        rows: Cells, as many as titles in each row.

    Returns:
        The table, a line for each row, ending in a newline.

    Example:
        >>> print(markdown_table(['name', 'size:'], [['a', 1]]), end='')
        | name | size |
        |---|---:|
        | a | 1 |
    """
    rule = ''.join('---:|' if title.endswith(':') else '---|' for title in head)
    cells = [[title.removesuffix(':') for title in head], *rows]
    first, *rest = [f'| {" | ".join(map(str, row))} |\n' for row in cells]
    return f'{first}|{rule}\n{"".join(rest)}'


def write_results(
    out_dir: Path, name: str, results: dict[str, Any], table: str, figure: Any | None = None
) -> list[Path]:
    """Write results as NAME.json, NAME.md and, if drawn, NAME.png.

    Args:
        out_dir: Where to; it is created.
        name: NAME.
        results: What can be written as JSON.
        table: Markdown.
        figure: A figure of matplotlib.

    Returns:
        The files.

    Raises:
        UserError: If ``out_dir`` cannot be written to.
    """
    folder = make_folder(out_dir, '--out-dir')
    files = [folder / f'{name}.json', folder / f'{name}.md']
    write_json(files[0], results)
    with replacing(files[1]) as part:
        part.write_text(table, encoding='utf-8')
    if figure is not None:
        files.append(folder / f'{name}.png')
        with replacing(files[2]) as part:
            figure.savefig(part, dpi=110, format='png')
    return files
