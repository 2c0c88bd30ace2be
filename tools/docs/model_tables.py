"""Write the tables of the configs' READMEs from their metafiles.

    python tools/docs/model_tables.py           # rewrite the tables
    python tools/docs/model_tables.py --check   # exit 1 if one is out of date

A README marks its table by two comments. Text after ``models:`` is the title
of a column for what the metafile has as ``Reported``:

    <!-- models: reported by the paper, not measured here -->

    <!-- end of models -->
"""

import argparse
import re
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
TABLE = re.compile(r'<!-- models:?(?P<title>.*?) -->\n.*?<!-- end of models -->', re.S)


def cost(metadata: dict[str, Any], key: str, unit: float) -> str:
    """``Parameters`` or ``FLOPs``, and in brackets those of another form."""
    if key not in metadata:
        return ''
    text = f'{metadata[key] / unit:.2f}'
    for name, value in metadata.items():
        if name.startswith(f'{key} ('):
            text += f' ({value / unit:.2f})'
    return text


def table(models: list[dict[str, Any]], title: str = '') -> str:
    """A row for each model.

    Args:
        models: ``Models`` of a metafile.
        title: Title of the column of ``Reported``; without it there is none.

    Example:
        >>> meta = {'Parameters': 5030000, 'FLOPs': 880000000}
        >>> print(table([dict(Name='a', Metadata=meta)]))
        | config | parameters (M) | MACs (G) |
        |---|---|---|
        | [a](a.py) | 5.03 | 0.88 |
    """
    columns = ['config', 'parameters (M)', 'MACs (G)', *([title] if title else [])]
    rows = [columns]
    for model in models:
        name, metadata = model['Name'], model['Metadata']
        row = [f'[{name}]({name}.py)']
        row += [cost(metadata, 'Parameters', 1e6), cost(metadata, 'FLOPs', 1e9)]
        rows.append(row + ([metadata.get('Reported', '')] if title else []))
    lines = [f'| {" | ".join(row)} |' for row in rows]
    lines.insert(1, '|' + '---|' * len(columns))
    return '\n'.join(lines)


def updated(readme: Path) -> str:
    """The README's text with the table of its metafile."""
    models = yaml.safe_load(readme.with_name('metafile.yml').read_text())['Models']

    def fill(match: re.Match) -> str:
        title = match['title'].strip()
        mark = f'models: {title}' if title else 'models'
        return f'<!-- {mark} -->\n\n{table(models, title)}\n\n<!-- end of models -->'

    return TABLE.sub(fill, readme.read_text())


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
