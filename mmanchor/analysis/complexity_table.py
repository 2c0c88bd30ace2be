"""Parameters and multiply-adds of configs, whole and module by module."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import nn

from ..utils.config import load_config
from ..utils.errors import UserError
from ..utils.progress import Track, silently
from .complexity import count_by_module, count_complexity, default_size, errors_only, of_forms
from .report import markdown_table, measured, short_name, told

Row = dict[str, Any]


def parse_shape(shape: Sequence[int] | None) -> tuple[int, int] | None:
    """What ``--shape`` means.

    Args:
        shape: One or two numbers of pixels; ``None`` if it was not given.

    Returns:
        Height and width; ``None`` for each config's own.

    Raises:
        UserError: If there are more numbers, or one is below 1.

    Example:
        >>> parse_shape([224])
        (224, 224)
    """
    if shape and (len(shape) > 2 or min(shape) < 1):
        raise UserError(
            f'--shape takes a height and a width in pixels, or one number for both, got {shape}'
        )
    return (shape[0], shape[-1]) if shape else None


def check_depth(depth: int | None) -> None:
    """Refuse what ``--by-module`` cannot mean.

    Args:
        depth: What was given; ``None`` if nothing was.

    Raises:
        UserError: If it is below 1.
    """
    if depth is not None and depth < 1:
        raise UserError(f'--by-module takes a depth of at least 1, got {depth}')


def run_complexity(
    configs: Sequence[str],
    cfg_options: dict[str, Any] | None = None,
    size: tuple[int, int] | None = None,
    depth: int | None = None,
    track: Track = silently,
) -> dict[str, Any]:
    """Count configs' models in their training form and their deploy form.

    The training form is counted without its training-only heads.

    Args:
        configs: Paths or names.
        cfg_options: Dotted keys and values to override in each of them.
        size: Height and width of the image in pixels; ``None`` takes the
            size at which each is usually counted.
        depth: How deep into the modules to list them, at least 1; ``None``
            does not.
        track: Shows progress.

    Returns:
        ``measured``, and ``rows``, a dict for each config and form:
        ``config``, ``form``, ``height``, ``width``, ``params``, ``macs``,
        ``uncounted`` (names of operators) and ``modules`` (``name``,
        ``params`` and ``macs`` of each).

    Raises:
        UserError: If there is no such config, it cannot be built, its model
            does not run on images of the size alone, or ``depth`` is below 1.
    """
    check_depth(depth)
    rows: list[Row] = []
    for name in track(configs, 'counting'):
        cfg = load_config(name, cfg_options)
        shape = size or default_size(cfg)

        def count(model: nn.Module, size: tuple[int, int]) -> Row:
            modules = count_by_module(model, size, depth) if depth else []
            return dict(
                asdict(count_complexity(model, size)), modules=[asdict(each) for each in modules]
            )

        with errors_only():
            forms = of_forms(cfg, shape, count)
        rows.extend(
            dict(config=name, form=form, height=shape[0], width=shape[1], **row)
            for form, row in forms.items()
        )
    return dict(measured=measured(dtype='float32'), rows=rows)


def complexity_table(results: dict[str, Any]) -> str:
    """The rows as Markdown, and below them the modules of each.

    Args:
        results: What :func:`run_complexity` gave.
    """
    rows = results['rows']
    parts = [
        markdown_table(
            ('config', 'form', 'pixels:', 'parameters (M):', 'MACs (G):'),
            [
                (
                    short_name(row['config']),
                    row['form'],
                    f'{row["height"]} x {row["width"]}',
                    _millions(row['params']),
                    _billions(row['macs']),
                )
                for row in rows
            ],
        )
    ]
    parts.append('The training form is counted without its training-only heads.\n')
    parts += [f'{note}\n' for note in uncounted_notes(rows)]
    for row in rows:
        if row['modules']:
            parts.append(
                f'### {short_name(row["config"])}, {row["form"]} form\n\n'
                + markdown_table(
                    ('module', 'parameters (M):', 'MACs (G):', 'share:'),
                    [
                        (
                            each['name'] or '(itself)',
                            _millions(each['params']),
                            _billions(each['macs']),
                            f'{each["macs"] / max(row["macs"], 1):.1%}',
                        )
                        for each in row['modules']
                    ],
                )
            )
    parts.append(told(results['measured']) + '\n')
    return '\n'.join(parts)


def uncounted_notes(rows: Sequence[Row]) -> list[str]:
    """A sentence for each row whose MACs lack something.

    Args:
        rows: Of what :func:`run_complexity` gave.
    """
    return [
        f'{short_name(row["config"])}, {row["form"]} form: nothing is known '
        f'of {", ".join(row["uncounted"])}, which the MACs lack.'
        for row in rows
        if row['uncounted']
    ]


def complexity_figure(results: dict[str, Any]) -> Any:
    """Bars of parameters and of multiply-adds.

    Args:
        results: What :func:`run_complexity` gave.

    Returns:
        A figure of matplotlib.
    """
    from matplotlib.figure import Figure

    rows = results['rows']
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(rows)), layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    labels = [f'{short_name(row["config"])}, {row["form"]}' for row in rows]
    for axes, key, unit, title in zip(
        panels, ('params', 'macs'), (1e6, 1e9), ('parameters (M)', 'MACs (G)')
    ):
        bars = axes.barh(
            range(len(rows)),
            [row[key] / unit for row in rows],
            color=[f'C{int(row["form"] == "deploy")}' for row in rows],
        )
        axes.bar_label(bars, fmt='%.2f', padding=3, fontsize=7)
        axes.margins(x=0.2)
        axes.set_xlabel(title)
    panels[0].set_yticks(range(len(rows)), labels, fontsize=7)
    panels[0].invert_yaxis()
    return figure


def _millions(number: int) -> str:
    return f'{number / 1e6:.3f}'


def _billions(number: int) -> str:
    return f'{number / 1e9:.3f}'
