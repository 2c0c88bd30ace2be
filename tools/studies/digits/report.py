"""A table and a figure of the ablations' results."""

from pathlib import Path
from typing import Any

from mmanchor.analysis.report import markdown_table
from mmanchor.utils.files import replacing
from tools.studies.digits.ablation import mean_and_spread

TABLE_FILE, PLOT_FILE = 'table.md', 'accuracy.png'
_HEAD = (
    'row',
    'in the paper',
    'channels:',
    'top-1:',
    'training loss:',
    'anchors per token at the start:',
    'parameters:',
    'MACs:',
    'time per image:',
)


def write_report(results: dict[str, Any], folder: Path) -> list[Path]:
    """Write the table and the figure beside the results.

    Args:
        results: From :func:`~tools.studies.digits.ablation.run_ablation`.
        folder: The folder.

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
    """Render the results as a Markdown table.

    Args:
        results: As for :func:`write_report`.

    Returns:
        The table, and below it how it was measured.
    """
    rows = []
    for row in results['rows']:
        mean, spread = mean_and_spread(row['runs'])
        loss = sum(run['loss'] for run in row['runs']) / len(row['runs'])
        cost, start = row['cost'], row['cost']['anchors_per_token']
        rows.append(
            (
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
        )
    return f'{markdown_table(_HEAD, rows)}\n{_notes(results)}\n'


def _notes(results: dict[str, Any]) -> str:
    about = results['measured']
    commits = sorted({run['commit'] for row in results['rows'] for run in row['runs']})
    return (
        f'Mean ± half of the range of {about["seeds"]} seeds, {about["epochs"]} epochs. Costs are '
        'those of the deploy form, or of the training form if it is cheaper; time is measured on '
        f'one thread in batches of 64. Trained at commit `{"`, `".join(commits)}` in '
        f'{about["training_minutes"]:.0f} minutes of one core; costs measured at '
        f'`{about["commit"]}`; {about["cores"]} cores of {about["processor"]}, Python '
        f'{about["python"]}, torch {about["torch"]}.'
    )


def _draw(results: dict[str, Any], path: Path) -> None:
    """Draw accuracy over M, and the runs of each row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.8), layout='constrained')
    left, right = figure.subplots(1, 2)
    colors = {64: 'tab:blue', 128: 'tab:orange'}
    rows = results['rows']
    for width, color in colors.items():
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
                color=color,
                label=f'learned anchors, {width} channels',
            )
        for row in of_width:
            if row['name'].endswith('-softmax'):
                left.axhline(
                    mean_and_spread(row['runs'])[0],
                    color=color,
                    linestyle='--',
                    label=f'softmax, {width} channels',
                )
    left.set(xlabel='number of anchors M', ylabel='top-1 on the digits (%)')
    left.grid(alpha=0.3)
    if left.get_legend_handles_labels()[0]:
        left.legend(fontsize=8, ncol=2, loc='lower center', bbox_to_anchor=(0.5, 1.01))
    for place, row in enumerate(reversed(rows)):
        values = [run['accuracy'] for run in row['runs']]
        color = colors[row['width']]
        right.plot(values, [place] * len(values), 'o', color=color, alpha=0.5)
        right.plot(sum(values) / len(values), place, '|', color=color, ms=16)
    right.set_yticks(
        range(len(rows)), [f'{row["width"]}: {row["title"]}' for row in reversed(rows)], fontsize=8
    )
    right.set(xlabel='top-1 on the digits (%): each seed, and the mean', ylabel='channels and row')
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=110, format='png')
