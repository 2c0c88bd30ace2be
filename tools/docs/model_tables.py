"""Write the tables of the configs' READMEs from their metafiles.

    python tools/docs/model_tables.py           # rewrite the tables
    python tools/docs/model_tables.py --check   # exit 1 if one is out of date

A README marks where its tables are by two comments:

    <!-- models -->

    <!-- end of models -->
"""

import argparse
import re
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TABLES = re.compile(r'<!-- models -->\n.*?<!-- end of models -->', re.S)


def cost(metadata: dict[str, Any], key: str, unit: float) -> str:
    """``Parameters`` or ``FLOPs``, and in brackets those of another form."""
    if key not in metadata:
        return ''
    text = f'{metadata[key] / unit:.2f}'
    for name, value in metadata.items():
        if name.startswith(f'{key} ('):
            text += f' ({value / unit:.2f})'
    return text


def markdown(rows: list[list[str]], numbers: tuple[int, ...]) -> str:
    """A table; the first row holds the titles, ``numbers`` are the columns to align right."""
    lines = [f'| {" | ".join(row)} |' for row in rows]
    rules = ['---:' if column in numbers else '---' for column in range(len(rows[0]))]
    lines.insert(1, f'|{"|".join(rules)}|')
    return '\n'.join(lines)


def counted(models: list[dict[str, Any]], link: bool = True) -> str:
    """What this project counted of each model.

    Args:
        models: ``Models`` of a metafile.
        link: Whether each name links to the file beside the README.

    Example:
        >>> costs = {'Parameters': 5030000, 'FLOPs': 880000000, 'FLOPs (training form)': 1030000000}
        >>> print(counted([dict(Name='a', Metadata=costs)]))
        | config | parameters (M) | MACs (G) |
        |---|---:|---:|
        | [a](a.py) | 5.03 | 0.88 (1.03) |
    """
    rows = [['config', 'parameters (M)', 'MACs (G)']]
    for model in models:
        name, metadata = model['Name'], model['Metadata']
        costs = [cost(metadata, 'Parameters', 1e6), cost(metadata, 'FLOPs', 1e9)]
        rows.append([f'[{name}]({name}.py)' if link else f'`{name}`', *costs])
    return markdown(rows, numbers=(1, 2))


def reported(models: list[dict[str, Any]]) -> str:
    """What others report, with a sentence above it; '' if they do not.

    Args:
        models: ``Models`` of a metafile.
    """
    rows = [['config', 'reported by', 'parameters', 'MACs', 'scores']]
    for model in models:
        found = model['Metadata'].get('Reported')
        if found:
            values = [found.get(key, '') for key in ('By', 'Parameters', 'FLOPs', 'Scores')]
            rows.append([f'`{model["Name"]}`', *values])
    return (
        f'Reported by others, not measured here:\n\n{markdown(rows, numbers=(2, 3))}'
        if rows[1:]
        else ''
    )


def updated(readme: Path) -> str:
    """The README's text with the tables of its metafile."""
    models = yaml.safe_load(readme.with_name('metafile.yml').read_text())['Models']
    parts = ['<!-- models -->', counted(models), reported(models), '<!-- end of models -->']
    tables = '\n\n'.join(part for part in parts if part)
    return TABLES.sub(lambda _: tables, readme.read_text())


def main() -> int:
    """Rewrite or check every README beside a metafile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true', help='write nothing')
    args = parser.parse_args()
    stale = 0
    for metafile in sorted(CONFIGS.glob('*/metafile.yml')):
        readme = metafile.with_name('README.md')
        text = updated(readme)
        if text != readme.read_text():
            stale += 1
            print(f'{"out of date" if args.check else "updated"}: {readme}')
            if not args.check:
                readme.write_text(text)
    return 1 if args.check and stale else 0


if __name__ == '__main__':
    raise SystemExit(main())
