"""A table and a plot of what the ablations gave."""

from pathlib import Path
from typing import Any

from mmanchor.utils.files import replacing
from tools.studies.digits.ablation import mean_and_spread

TABLE_FILE, PLOT_FILE = 'table.md', 'accuracy.png'
_HEAD = (
    'row',
    'in the paper',
    'channels',
    'top-1',
    'training loss',
    'anchors per token at the start',
    'parameters',
    'MACs',
    'time per image',
)


def write_report(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write the table and the plot beside the results.

    Args:
        results: What :func:`~tools.studies.digits.ablation.run_ablation` gave.
        folder: Where to.

    Returns:
        The files.
    """
    table, plot = folder / TABLE_FILE, folder / PLOT_FILE
    with replacing(table) as part:
        part.write_text(ablation_table(results), encoding='utf-8')
    with replacing(plot) as part:
        _draw(results, part)
    return [table, plot]


def ablation_table(results: dict[str, Any]) -> str:
    """The results as a Markdown table.

    Args:
        results: As for :func:`write_report`.

    Returns:
        The table, and below it how it was measured.
    """
    lines = [f'| {" | ".join(_HEAD)} |', '|---' * len(_HEAD) + '|']
    for row in results['rows']:
        mean, spread = mean_and_spread(row['runs'])
        loss = sum(run['loss'] for run in row['runs']) / len(row['runs'])
        cost, start = row['cost'], row['cost']['anchors_per_token']
        cells = (
            row['title'],
            row['table'],
            row['width'],
            f'{mean:.1f} ± {spread:.1f}',
            f'{loss:.3f}',
            f'{start:.1f}' if start else '',
            f'{cost["params"] / 1e3:.1f}k',
            f'{cost["macs"] / 1e6:.2f}M',
            f'{cost["microseconds"]:.0f} µs',
        )
        lines.append(f'| {" | ".join(map(str, cells))} |')
    told = results['measured']
    commits = sorted({run['commit'] for row in results['rows']
                      for run in row['runs']})  # yapf: disable
    lines += [
        '',
        f'Mean ± half of the range of {told["seeds"]} seeds, '
        f'{told["epochs"]} epochs. Costs of the deploy form, or of the '
        'training form where that is cheaper; time on one thread in batches '
        f'of 64. Trained at commit `{"`, `".join(commits)}` in '
        f'{told["training_minutes"]:.0f} minutes of one core, costs measured '
        f'at `{told["commit"]}`, on {told["cores"]} cores of '
        f'{told["processor"]}, Python {told["python"]}, torch '
        f'{told["torch"]}.',
        '',
    ]
    return '\n'.join(lines)


def _draw(results: dict[str, Any], path: Path) -> None:
    """Accuracy of each run over M, and of each row beside the others."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout='constrained')
    left, right = figure.subplots(1, 2)
    colours = {64: 'tab:blue', 128: 'tab:orange'}
    rows = results['rows']
    for width, colour in colours.items():
        of_width = [row for row in rows if row['width'] == width]
        learned = [row for row in of_width if not row['attention']]
        if learned:
            points = [mean_and_spread(row['runs']) for row in learned]
            left.errorbar(
                [row['num_anchors'] for row in learned],
                [mean for mean, _ in points],
                [spread for _, spread in points],
                marker='o',
                capsize=4,
                color=colour,
                label=f'learned anchors, {width} channels',
            )
        for row in of_width:
            if row['name'].endswith('-softmax'):
                left.axhline(
                    mean_and_spread(row['runs'])[0],
                    color=colour,
                    linestyle='--',
                    label=f'softmax, {width} channels',
                )
    left.set(xlabel='number of anchors M', ylabel='top-1 on the digits (%)')
    left.grid(alpha=0.3)
    if left.get_legend_handles_labels()[0]:
        left.legend(fontsize=8, ncol=2, loc='lower center', bbox_to_anchor=(0.5, 1.01))
    for place, row in enumerate(reversed(rows)):
        values = [run['accuracy'] for run in row['runs']]
        colour = colours[row['width']]
        right.plot(values, [place] * len(values), 'o', color=colour, alpha=0.5)
        right.plot(sum(values) / len(values), place, '|', color=colour, ms=16)
    right.set_yticks(
        range(len(rows)), [f'{row["width"]}: {row["title"]}' for row in reversed(rows)], fontsize=8
    )
    right.set(xlabel='top-1 on the digits (%): each seed, and the mean', ylabel='channels and row')
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=110, format='png')
