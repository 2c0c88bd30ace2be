"""The paper's tables: what it reports, and what is counted here."""

import copy
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from mmanchor.analysis.complexity import complexity_of_forms, default_size
from mmanchor.analysis.networks import errors_only
from mmanchor.analysis.provenance import describe, measured
from mmanchor.analysis.report import markdown_table
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError, in_one_line
from mmanchor.utils.progress import Track, silently
from tools.benchmarks import paper_models  # noqa: F401  registers what rows name

# By number; papers.yaml says what a table and a row hold.
TABLES: dict[int, dict[str, Any]] = {
    table['number']: table
    for table in yaml.safe_load(Path(__file__).with_name('papers.yaml').read_text())['tables']
}
_HEAD = (
    'model',
    'M params, reported:',
    'GFLOPs, reported:',
    '{scores}, reported:',
    'pixels, here:',
    'M params, here:',
    'GMACs, here:',
    'M params, deploy, here:',
    'GMACs, deploy, here:',
    'remark',
)


def check_tables(numbers: Sequence[int]) -> None:
    """Refuse tables that the paper does not have.

    Args:
        numbers: Of tables.

    Raises:
        UserError: If there is no such table.
    """
    for number in numbers:
        if number not in TABLES:
            raise UserError(
                f'there is no table {number}; choose among {", ".join(map(str, TABLES))}'
            )


def run_papers(tables: Sequence[int] = tuple(TABLES), track: Track = silently) -> dict[str, Any]:
    """Count every row of the paper's tables that can be built here.

    Nothing is downloaded: models are built without weights.

    Args:
        tables: Numbers of tables.
        track: Shows progress.

    Returns:
        ``measured``, and ``rows``, a dict for each row: ``table``,
        ``model``, ``extra`` (whether the paper lacks it), ``reported``
        (``params`` in millions, ``gflops``, and ``scores`` by name), ``note``,
        and, if a config builds it, ``config``, ``options`` and either
        ``height``, ``width`` and ``forms`` (``params``, ``macs`` and
        ``uncounted`` by form) or ``error``.

    Raises:
        UserError: If there is no such table.
    """
    check_tables(tables)
    chosen = [
        (TABLES[number], row) for number in dict.fromkeys(tables) for row in TABLES[number]['rows']
    ]
    rows = [_count(*each) for each in track(chosen, 'counting')]
    return dict(measured=measured(dtype='float32'), rows=rows)


def _count(table: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    scores = row.get('scores', ())
    result: dict[str, Any] = dict(
        table=table['number'],
        model=row['model'],
        extra=row.get('extra', False),
        reported=dict(
            params=row.get('params'),
            gflops=row.get('gflops'),
            scores=dict(zip(table['scores'], scores, strict=True)) if scores else {},
        ),
        note=row.get('note', ''),
    )
    if 'config' not in row:
        return result
    options = copy.deepcopy(row.get('options', {}))
    result.update(config=row['config'], options=options)
    try:
        cfg = load_config(row['config'], options)
        height, width = row.get('size') or default_size(cfg)
        with errors_only():
            forms = complexity_of_forms(cfg, (height, width))
    # A row that some version of a toolbox cannot build must not stop the rest.
    except Exception as error:
        return dict(result, error=in_one_line(error))
    return dict(
        result,
        height=height,
        width=width,
        forms={form: _counts(each) for form, each in forms.items()},
    )


def _counts(complexity: Any) -> dict[str, Any]:
    counts = asdict(complexity)
    del counts['modules']
    return counts


def papers_table(results: dict[str, Any]) -> str:
    """Render the tables as Markdown.

    Args:
        results: From :func:`run_papers`.
    """
    parts = [
        'Columns marked "reported" are claims of the AnchorFormer paper '
        '(arXiv 2505.16463), which have not been reproduced in public; its FLOPs '
        'are multiply-adds. Columns marked "here" are counted from the models '
        'as built here: in the training form without its training-only heads, '
        'and in the deploy form if there is one.\n'
    ]
    for number, table in TABLES.items():
        rows = [row for row in results['rows'] if row['table'] == number]
        if rows:
            head = [title.format(scores=' / '.join(table['scores'])) for title in _HEAD]
            parts.append(f'### Table {number}: {table["title"]}\n')
            parts.append(markdown_table(head, map(_cells, rows)))
    parts.append(describe(results['measured']) + '\n')
    return '\n'.join(parts)


def _cells(row: dict[str, Any]) -> Sequence[str]:
    reported, forms = row['reported'], row.get('forms', {})
    counted = []
    for form in ('training', 'deploy'):
        counts = forms.get(form)
        numbers = (counts['params'] / 1e6, counts['macs'] / 1e9) if counts else ()
        counted += [f'{number:.2f}' for number in numbers] or ['-', '-']
    return (
        row['model'] + ' (not in the paper)' * row['extra'],
        _or_dash(reported['params']),
        _or_dash(reported['gflops']),
        ' / '.join(map(_or_dash, reported['scores'].values())) or '-',
        f'{row["height"]} x {row["width"]}' if forms else '-',
        *counted,
        _remark(row, forms).replace('|', '/'),
    )


def _remark(row: dict[str, Any], forms: dict[str, Any]) -> str:
    if 'config' not in row:
        return f'not built: {row["note"]}'
    if 'error' in row:
        return f'failed: {" ".join(row["error"].split())[:200]}'
    uncounted = {name for counts in forms.values() for name in counts['uncounted']}
    lacking = f'MACs lack {", ".join(sorted(uncounted))}' if uncounted else ''
    return '; '.join(filter(None, (row['note'], lacking)))


def _or_dash(number: float | None) -> str:
    return '-' if number is None else f'{number:g}'


def papers_figure(results: dict[str, Any]) -> Any:
    """Draw the multiply-adds that the paper reports against those counted here.

    Args:
        results: From :func:`run_papers`.

    Returns:
        A figure of matplotlib: a point for each row that has both, on the
        diagonal if they agree. Stars are AnchorFormers.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout='constrained')
    axes = figure.subplots()
    for number in TABLES:
        for ours, marker in ((False, 'o'), (True, '*')):
            points = [
                (row['reported']['gflops'], _cheapest(row['forms']) / 1e9)
                for row in results['rows']
                if row['table'] == number
                and 'forms' in row
                and row['reported']['gflops']
                and ours == _is_anchorformer(row)
            ]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    marker,
                    color=f'C{number - 1}',
                    markersize=5 + 7 * ours,
                    label=f'Table {number}' + ', AnchorFormer' * ours,
                )
    low, high = 0.2, 2e3
    axes.plot((low, high), (low, high), color='gray', linewidth=0.8, label='the same')
    axes.set(
        xlabel='GFLOPs reported by the paper',
        ylabel='GMACs counted here (deploy form if there is one)',
        xscale='log',
        yscale='log',
        xlim=(low, high),
        ylim=(low, high),
    )
    axes.legend()
    return figure


def _is_anchorformer(row: dict[str, Any]) -> bool:
    """Judged by the config, as rows of ablations do not name the model."""
    # By its name: its folder has DeiTs, too.
    return 'anchorformer' in row['config'].rpartition('/')[2]


def _cheapest(forms: dict[str, dict[str, Any]]) -> int:
    return forms.get('deploy', forms['training'])['macs']
