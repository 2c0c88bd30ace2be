"""The paper's tables rebuilt: what it reports beside what is counted here."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mmanchor.analysis.complexity import complexity_of_forms, default_size, errors_only
from mmanchor.analysis.report import markdown_table, measured, told
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError
from mmanchor.utils.progress import Track, silently
from tools.benchmarks import paper_models  # noqa: F401  registers what rows name
from tools.benchmarks.paper_rows import TABLE_1, TABLE_4, TABLE_5, PaperRow, PaperTable
from tools.benchmarks.paper_rows_dense import TABLE_2, TABLE_3

TABLES = (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5)


def check_tables(numbers: Sequence[int]) -> None:
    """Refuse tables that the paper does not have.

    Args:
        numbers: Of tables.

    Raises:
        UserError: If there is no such table.
    """
    known = [table.number for table in TABLES]
    for number in numbers:
        if number not in known:
            raise UserError(
                f'there is no table {number}; choose among {", ".join(map(str, known))}'
            )


def run_papers(tables: Sequence[int] = (1, 2, 3, 4, 5), track: Track = silently) -> dict[str, Any]:
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
    known = {table.number: table for table in TABLES}
    chosen = [
        (known[number], row) for number in dict.fromkeys(tables) for row in known[number].rows
    ]
    rows = [_count(*each) for each in track(chosen, 'counting')]
    return dict(measured=measured(dtype='float32'), rows=rows)


def _count(table: PaperTable, row: PaperRow) -> dict[str, Any]:
    result: dict[str, Any] = dict(
        table=table.number,
        model=row.name,
        extra=row.extra,
        reported=dict(
            params=row.params, gflops=row.flops, scores=dict(zip(table.scores, row.scores))
        ),
        note=row.note,
    )
    if not row.config:
        return result
    result.update(config=row.config, options=row.options)
    try:
        cfg = load_config(row.config, row.options)
        height, width = row.size or default_size(cfg)
        with errors_only():
            forms = complexity_of_forms(cfg, (height, width))
    # One row that a version of a toolbox cannot build costs no other.
    except Exception as error:
        result['error'] = f'{type(error).__name__}: {error}'
        return result
    return dict(
        result,
        height=height,
        width=width,
        forms={form: asdict(each) for form, each in forms.items()},
    )


def papers_table(results: dict[str, Any]) -> str:
    """The tables as Markdown.

    Args:
        results: What :func:`run_papers` gave.
    """
    parts = [
        'Columns marked "reported" are claims of the AnchorFormer paper '
        '(arXiv 2505.16463), which nobody has reproduced in public; its FLOPs '
        'are multiply-adds. Columns marked "here" are counted from the models '
        'that are built: in training form without its training-only heads, '
        'and in deploy form where there is one.\n'
    ]
    for table in TABLES:
        rows = [each for each in results['rows']
                if each['table'] == table.number]  # yapf: disable
        if not rows:
            continue
        scores = ' / '.join(table.scores)
        parts.append(f'### Table {table.number}: {table.title}\n')
        parts.append(
            markdown_table(
                (
                    'model',
                    'M params, reported:',
                    'GFLOPs, reported:',
                    f'{scores}, reported:',
                    'pixels, here:',
                    'M params, here:',
                    'GMACs, here:',
                    'M params, deploy, here:',
                    'GMACs, deploy, here:',
                    'remark',
                ),
                map(_cells, rows),
            )
        )
    parts.append(told(results['measured']) + '\n')
    return '\n'.join(parts)


def _cells(row: dict[str, Any]) -> Sequence[str]:
    reported, forms = row['reported'], row.get('forms', {})
    scores = [_or_dash(each) for each in reported['scores'].values()]
    counted = []
    for form in ('training', 'deploy'):
        counts = forms.get(form)
        counted += (
            [f'{counts["params"] / 1e6:.2f}', f'{counts["macs"] / 1e9:.2f}']
            if counts
            else ['-', '-']
        )
    name, remark = row['model'], row['note']
    if row['extra']:
        name += ' (not in the paper)'
    if 'config' not in row:
        remark = f'not built: {remark}'
    if 'error' in row:
        remark = f'failed: {" ".join(row["error"].split())[:200]}'
    uncounted = {each for form in forms.values() for each in form['uncounted']}
    if uncounted:
        remark += f'; MACs lack {", ".join(sorted(uncounted))}'
    return (
        name,
        _or_dash(reported['params']),
        _or_dash(reported['gflops']),
        ' / '.join(scores) or '-',
        f'{row["height"]} x {row["width"]}' if forms else '-',
        *counted,
        remark.replace('|', '/'),
    )


def _or_dash(number: float | None) -> str:
    return '-' if number is None else f'{number:g}'


def papers_figure(results: dict[str, Any]) -> Any:
    """Multiply-adds that the paper reports, and those counted here.

    Args:
        results: What :func:`run_papers` gave.

    Returns:
        A figure of matplotlib: a point for each row that has both, on the
        diagonal if they agree. Stars are AnchorFormers.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout='constrained')
    axes = figure.subplots()
    for table in TABLES:
        for ours, marker in ((False, 'o'), (True, '*')):
            points = [
                (row['reported']['gflops'], _cheapest(row['forms']) / 1e9)
                for row in results['rows']
                if row['table'] == table.number
                and 'forms' in row
                and row['reported']['gflops']
                and ours == _is_anchorformer(row)
            ]
            if points:
                label = f'Table {table.number}' + ', AnchorFormer' * ours
                axes.plot(
                    *zip(*points),
                    marker,
                    color=f'C{table.number - 1}',
                    markersize=5 + 7 * ours,
                    label=label,
                )
    low, high = 0.2, 2e3
    axes.plot((low, high), (low, high), color='grey', linewidth=0.8, label='the same')
    axes.set(
        xlabel='GFLOPs reported by the paper',
        ylabel='GMACs counted here (deploy form where there is one)',
        xscale='log',
        yscale='log',
        xlim=(low, high),
        ylim=(low, high),
    )
    axes.legend()
    return figure


def _is_anchorformer(row: dict[str, Any]) -> bool:
    """By the config, as rows of ablations do not name the model."""
    # Its folder does not tell: there are DeiTs beside the AnchorFormers.
    return 'anchorformer' in row['config'].rpartition('/')[2]


def _cheapest(forms: dict[str, dict[str, Any]]) -> int:
    return forms.get('deploy', forms['training'])['macs']
