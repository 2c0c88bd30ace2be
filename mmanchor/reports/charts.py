"""Charts as images that a page holds in itself."""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, GRID, BLUE, ORANGE, GRAY = '#1f2937', '#e5e7eb', '#2563eb', '#ea580c', '#9ca3af'
_STYLE = {
    'font.size': 10,
    'font.family': ['DejaVu Sans', 'sans-serif'],
    'svg.fonttype': 'none',
    # Names of classes are text, whatever signs they hold.
    'text.parse_math': False,
    'text.color': INK,
    'axes.labelcolor': INK,
    'axes.edgecolor': GRAY,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': GRID,
    'xtick.color': INK,
    'ytick.color': INK,
    'legend.frameon': False,
    'legend.fontsize': 9,
}
# Above this number of classes a matrix has no names, and above the other no numbers.
_MOST_NAMES, _MOST_NUMBERS, _NAME_LENGTH = 40, 12, 18
Chart = tuple[str, str]


def data_address(content: bytes, kind: str) -> str:
    """A file as an address, such as ``data:image/png;base64,...``."""
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'


@contextmanager
def _chart(
    alt: str, out: list[Chart], size: tuple[float, float] = (4.8, 3.5)
) -> Iterator[Axes]:  # fmt: skip
    """Axes to draw on; afterwards the picture is in ``out``."""
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout='constrained')
        yield figure.subplots()
        file = io.BytesIO()
        figure.savefig(file, format='svg', metadata=dict(Date=None))
    out.append((data_address(file.getvalue(), 'svg+xml'), alt))


def plain(name: str, length: int = _NAME_LENGTH) -> str:
    """A name that fits beside an axis and that XML can hold."""
    name = ''.join(c if c.isprintable() else ' ' for c in name)
    # The font of the charts has no wider letters, and says so for each.
    name = ''.join(c if ord(c) < 0x2000 else '?' for c in name)
    return name if len(name) <= length else f'{name[: length - 1]}…'


def precision_recall(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
    names: Sequence[str],
    scores: Sequence[float],
    bold: Sequence[tuple[str, np.ndarray, np.ndarray]] = (),
) -> Chart:
    """Precision over recall, all classes in gray, the best and worst named.

    Args:
        curves: Recall and precision of each class; empty arrays for none.
        names: Of the classes.
        scores: By which best and worst are chosen.
        bold: Label, recall and precision of lines over them.
    """
    out: list[Chart] = []
    order = [i for i in np.argsort(scores, kind='stable') if len(curves[i][0])]
    named = order if len(order) <= 6 else [*order[:3], *order[-3:]]
    with _chart('Precision over recall', out, (6.2, 3.7)) as axes:
        for index in order:
            if index not in named:
                axes.plot(*curves[index], color=GRAY, linewidth=0.6, alpha=0.5)
        for number, index in enumerate(reversed(named)):
            label = f'{plain(names[index])} {scores[index]:.2f}'
            axes.plot(*curves[index], color=f'C{number}', linewidth=1.1, label=label)
        for style, (label, recall, precision) in zip(('-', '--'), bold, strict=False):
            axes.plot(recall, precision, style, color=INK, linewidth=2, label=label)
        axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc='upper left', bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return out[0]


def confusion(counts: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> Chart:
    """A confusion matrix, rows as shares of the truth.

    Args:
        counts: (rows, columns).
        rows, columns: Names.
    """
    out: list[Chart] = []
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(2.2 + 0.3 * len(rows), 3.6, 9))
    with _chart('Confusion matrix', out, (side + 0.6, side)) as axes:
        image = axes.imshow(share, cmap='Blues', vmin=0, vmax=1, interpolation='nearest')
        axes.grid(False)
        axes.set(xlabel='predicted', ylabel='truth')
        if len(rows) <= _MOST_NAMES:
            font = 9 if len(rows) <= 20 else 7
            axes.set_xticks(range(len(columns)), map(plain, columns), rotation=90, fontsize=font)
            axes.set_yticks(range(len(rows)), map(plain, rows), fontsize=font)
        if len(rows) <= _MOST_NUMBERS:
            for (i, j), value in np.ndenumerate(share):
                if counts[i, j]:
                    color = 'white' if value > 0.5 else INK
                    text = f'{100 * value:.0f}'
                    axes.text(j, i, text, ha='center', va='center', color=color, fontsize=8)
        axes.figure.colorbar(image, shrink=0.7, label='share of the truth')
    return out[0]


def reliability(sure: np.ndarray, right: np.ndarray, counts: np.ndarray, what: str) -> Chart:
    """How often predictions of a confidence are right.

    Args:
        sure: (bins,) mean confidence.
        right: (bins,) share that is right.
        counts: (bins,) number of predictions.
        what: What is predicted, for the axis.
    """
    out: list[Chart] = []
    full = counts > 0
    edges = np.linspace(0, 1, len(counts) + 1)
    with _chart('Reliability', out, (5.2, 3.7)) as axes:
        axes.bar(
            edges[:-1],
            counts / max(counts.sum(), 1),
            1 / len(counts),
            align='edge',
            color=GRID,
            label=f'share of {what}',
        )
        axes.plot((0, 1), (0, 1), color=GRAY, linestyle='--', linewidth=1)
        axes.plot(sure[full], right[full], color=BLUE, marker='o', markersize=4, label='right')
        axes.set(xlabel='score', ylabel='share that is right', xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc='upper left')
    return out[0]


def bars(
    names: Sequence[str], values: Sequence[float], label: str, others: Sequence[float] = ()
) -> Chart:
    """Horizontal bars with their values.

    Args:
        names: Of the bars.
        values: NaN draws nothing.
        label: Of the axis.
        others: Of a second model, beside them.
    """
    out: list[Chart] = []
    groups = [values, others] if len(others) else [values]
    with _chart(label, out, (4.8, 0.9 + 0.36 * len(names) * (1 + 0.4 * (len(groups) > 1)))) as axes:
        height = 0.7 / len(groups)
        for number, group in enumerate(groups):
            places = np.arange(len(names)) + height * (number - (len(groups) - 1) / 2)
            drawn = axes.barh(places, np.nan_to_num(group), height, color=(BLUE, ORANGE)[number])
            texts = ['-' if np.isnan(value) else f'{value:.3f}' for value in group]
            axes.bar_label(drawn, texts, padding=3, fontsize=9)
        if len(groups) > 1:
            axes.legend(
                axes.containers, ['A', 'B'], loc='lower right', ncols=2, bbox_to_anchor=(1, 1)
            )
        axes.set_yticks(range(len(names)), map(plain, names))
        axes.margins(x=0.18)
        axes.invert_yaxis()
        axes.grid(axis='y', visible=False)
        axes.set_xlabel(label)
    return out[0]


def intervals(names: Sequence[str], values: np.ndarray, low: np.ndarray, high: np.ndarray) -> Chart:
    """Differences with their intervals, one line a class.

    Args:
        names: Of the lines.
        values, low, high: (L,) each, in the page's unit.
    """
    out: list[Chart] = []
    with _chart('Differences by class', out, (6.4, 0.9 + 0.26 * len(names))) as axes:
        for place, (value, start, end) in enumerate(zip(values, low, high, strict=True)):
            color = GRAY if start <= 0 <= end else BLUE if value > 0 else ORANGE
            axes.plot((start, end), (place, place), color=color, linewidth=2)
            axes.plot(value, place, 'o', color=color, markersize=5)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(names)), map(plain, names), fontsize=9)
        axes.invert_yaxis()
        axes.grid(axis='y', visible=False)
        axes.set_xlabel('B - A')
    return out[0]


def lines(title: str, series: dict[str, tuple[Sequence[float], Sequence[float]]]) -> Chart:
    """Values over steps.

    Args:
        title: Of the chart.
        series: Steps and values by name.
    """
    out: list[Chart] = []
    with _chart(title, out) as axes:
        for name, (steps, values) in series.items():
            marker = 'o' if len(steps) < 30 else None
            axes.plot(steps, values, label=plain(name, 30), marker=marker, markersize=3)
        axes.set(xlabel='step', title=title)
        axes.legend(fontsize=8)
    return out[0]
