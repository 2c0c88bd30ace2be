"""Write the tables of the documentation from the results beside them.

usage: python -m tools.benchmarks.tables [FOLDER]    (default: docs)

Every ``NAME.json`` that a benchmark or the ablation wrote below FOLDER gets its
``NAME.md``. docs/benchmarks.md and docs/ablation.md include these files.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmanchor.analysis.complexity import complexity_table
from mmanchor.analysis.latency import latency_table
from mmanchor.utils.files import read_json, replacing
from tools.benchmarks.large_images import large_table
from tools.benchmarks.papers import papers_table
from tools.benchmarks.scaling.report import scaling_table
from tools.benchmarks.training import training_table
from tools.studies.digits.report import ablation_table

ROOT = Path(__file__).resolve().parents[2]
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    'ablation': ablation_table,
    'complexity': complexity_table,
    'large': large_table,
    'latency': latency_table,
    'papers': papers_table,
    'scaling': scaling_table,
    'training': training_table,
}


def tables(folder: Path) -> Iterator[tuple[Path, str]]:
    """Render every result below a folder.

    Args:
        folder: Such as docs.

    Yields:
        The Markdown file of each result, and its text.
    """
    for path in sorted(folder.rglob('*.json')):
        if path.stem in TABLES:
            yield path.with_suffix('.md'), TABLES[path.stem](read_json(path))


def main() -> None:
    """Write the files that change, and name them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / 'docs'
    for path, text in tables(folder):
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            with replacing(path) as part:
                part.write_text(text, encoding='utf-8')
            print(f'written to {path}')


if __name__ == '__main__':
    main()
