"""Results as files: JSON for programs, Markdown and a figure for readers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..utils.files import make_folder, replacing, write_json


def write_results(
    out_dir: Path, name: str, results: dict[str, Any], table: str, figure: Any | None = None
) -> list[Path]:
    """Write results as NAME.json, NAME.md and, with a figure, NAME.png.

    Args:
        out_dir: The folder; it is created.
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


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a Markdown table.

    Args:
        head: Titles of the columns. A title that ends in ':' is shown without
            it, and its column is aligned to the right.
        rows: Cells, as many as titles in each row.

    Returns:
        The table, ending in a newline.

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


def short_name(config: str) -> str:
    """The name of a config in tables: that of its file.

    Example:
        >>> short_name('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py')
        'yolox_tiny_8xb8-300e_coco'
    """
    return Path(config).name.removesuffix('.py').rpartition('::')[2]


def count_of(number: int, what: str) -> str:
    """Write a number of things.

    Example:
        >>> count_of(1, 'thread'), count_of(2, 'thread')
        ('1 thread', '2 threads')
    """
    return f'{number} {what}{"" if number == 1 else "s"}'
