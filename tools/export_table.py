"""A Markdown table of exported files: their size, and how far they agree with torch.

python -m tools.export_table picodet.onnx picodet.int8.onnx picodet.xml
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from mmanchor.analysis.report import markdown_table
from mmanchor.export.formats import FORMATS
from mmanchor.export.verify import UNITS
from mmanchor.runtime import Model


def export_table(paths: Sequence[str | Path]) -> str:
    """Make the table.

    Args:
        paths: Exported files; each says of itself how it was checked.

    Returns:
        Markdown, a row for each file.
    """
    rows = []
    for path in map(Path, paths):
        metadata = Model(path).metadata
        files = FORMATS[metadata['format']].files(path)
        checked = metadata['verification']
        agreed = '-'
        if checked['compared']:
            unit = UNITS[metadata['task']]
            agreed = f'{checked["agreement"]:.1%} of {checked["compared"]} {unit}'
        rows.append(
            [
                path.name,
                metadata['config'],
                ' x '.join(map(str, metadata['input']['size'])),
                f'{sum(file.stat().st_size for file in files) / 1e6:.1f}',
                f'{checked["difference"]:.0e}',
                agreed,
            ]
        )
    titles = ('file', 'config', 'pixels', 'MB:', 'largest difference:', 'the same')
    return markdown_table(titles, rows)


if __name__ == '__main__':
    print(export_table(sys.argv[1:]), end='')
