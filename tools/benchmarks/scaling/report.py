"""A table and a figure of how time and memory grow."""

import re
from collections.abc import Callable
from typing import Any

from mmanchor.analysis.provenance import describe
from mmanchor.analysis.report import markdown_table

Row = dict[str, Any]
_NONE = '-'


def scaling_table(results: dict[str, Any]) -> str:
    """Render the results as Markdown.

    Args:
        results: From :func:`~tools.benchmarks.scaling.rows.run_scaling`.

    Returns:
        For each part and phase a table of time, one of memory, and what was
        skipped and why; at the end, how it was measured.
    """
    chunks = []
    for part, phase in _groups(results):
        rows = [row for row in results['rows'] if (row['part'], row['phase']) == (part, phase)]
        first = rows[0]['name']
        title = f'{results["titles"][part]}: {phase}'
        chunks += [
            f'### {title}\n',
            f'Time, and in brackets how many times faster than {first}:\n',
            _grid(results, rows, 'seconds', _time_cell),
            'Peak memory beyond inputs and parameters, and in brackets how '
            f'many times less than {first}:\n',
            _grid(results, rows, 'bytes', _memory_cell(rows)),
        ]
        skipped = _skipped(rows)
        if skipped:
            chunks.append('Not measured:\n\n' + '\n'.join(skipped) + '\n')
    how, setting = results['measured'], results['measured']['setting']
    chunks.append(
        f'Batches of {setting["batch"]}, {setting["dtype"]}, on '
        f'{setting["device"]}; medians of at most {how["rounds"]} interleaved '
        'rounds, and of the ratios within each. The exponent is the power of '
        'the number of tokens that the numbers grow with, fitted from 1 024 '
        'tokens on. ' + describe(how) + '\n'
    )
    return '\n'.join(chunks)


def scaling_figure(results: dict[str, Any]) -> Any:
    """Draw time and memory over the number of tokens, on log scales.

    Args:
        results: As for :func:`scaling_table`.

    Returns:
        A figure of matplotlib with two panels for each part and phase.
    """
    from matplotlib.figure import Figure

    groups = _groups(results)
    figure = Figure(figsize=(12, 4.4 * len(groups)), layout='constrained')
    grid = figure.subplots(len(groups), 2, squeeze=False)
    for (part, phase), axes in zip(groups, grid, strict=True):
        rows = [row for row in results['rows'] if (row['part'], row['phase']) == (part, phase)]
        for axis, what, unit in zip(axes, ('seconds', 'bytes'), (1e-3, 1 << 20), strict=True):
            for name in _names(rows):
                # A call that takes no memory cannot be drawn on a log scale.
                own = [row for row in rows if row['name'] == name]
                points = [(row['tokens'], row[what] / unit) for row in own if row[what]]
                axis.loglog(
                    [size for size, _ in points],
                    [number for _, number in points],
                    marker='o',
                    linestyle='--' if own[0]['kind'] == 'bound' else '-',
                    linewidth=3 if own[0]['kind'] == 'ours' else 1.5,
                    label=name,
                )
            axis.set_xticks(results['tokens'], results['tokens'])
            axis.set_xticks([], minor=True)
            axis.grid(alpha=0.3)
            axis.set_xlabel('tokens')
        axes[0].set_ylabel('time of a call (ms)')
        axes[1].set_ylabel('peak memory (MiB)')
        axes[0].set_title(f'{results["titles"][part]}: {phase}', loc='left')
        axes[1].legend(loc='center left', bbox_to_anchor=(1.01, 0.5))
    return figure


def _groups(results: dict[str, Any]) -> list[tuple[str, str]]:
    """Parts and phases, in the order of the rows."""
    return list(dict.fromkeys((row['part'], row['phase']) for row in results['rows']))


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row['name'] for row in rows))


def _grid(results: dict[str, Any], rows: list[Row], what: str, cell: Callable[[Row], str]) -> str:
    """A table with a column for each number of tokens."""
    exponents = {
        (each['part'], each['phase'], each['name']): each[what] for each in results['exponents']
    }
    lines = []
    for name in _names(rows):
        own = [row for row in rows if row['name'] == name]
        power = exponents[own[0]['part'], own[0]['phase'], name]
        lines.append([name, *map(cell, own), _NONE if power is None else f'{power:.2f}'])
    sizes = [f'{size:,}:' for size in results['tokens']]
    return markdown_table(['tokens', *sizes, 'exponent:'], lines)


def _time_cell(row: Row) -> str:
    if row['skipped']:
        return _NONE
    return format_seconds(row['seconds']) + _times(row['speedup'])


def _memory_cell(rows: list[Row]) -> Callable[[Row], str]:
    first = {row['tokens']: row['bytes'] for row in rows if row['name'] == rows[0]['name']}

    def cell(row: Row) -> str:
        if row['skipped']:
            return _NONE
        base = first[row['tokens']]
        return format_bytes(row['bytes']) + _times(
            base / row['bytes'] if base and row['bytes'] else None
        )

    return cell


def _times(ratio: float | None) -> str:
    return '' if ratio is None else f' ({ratio:.3g}x)'


def _skipped(rows: list[Row]) -> list[str]:
    return [
        f'- {row["name"]}, {row["tokens"]} tokens: {_as_code(row["skipped"])}'
        for row in rows
        if row['skipped']
    ]


def _as_code(reason: str) -> str:
    """Mark options as code: in text, Markdown turns their -- into a dash."""
    return re.sub(r'--[a-z][a-z-]+', r'`\g<0>`', reason)


def format_seconds(seconds: float) -> str:
    """Write seconds, or milliseconds below one second, to three digits.

    Example:
        >>> format_seconds(0.00123), format_seconds(12.0)
        ('1.23 ms', '12 s')
    """
    return f'{seconds:.3g} s' if seconds >= 1 else f'{seconds * 1e3:.3g} ms'


def format_bytes(number: float) -> str:
    """Write bytes in MiB, to three digits.

    Example:
        >>> format_bytes(3 << 20), format_bytes(0)
        ('3 MiB', '0 MiB')
    """
    mebi = number / (1 << 20)
    return f'{mebi:.0f} MiB' if mebi >= 100 else f'{mebi:.3g} MiB'
