"""Accuracy of anchorized DeiT-Ti: while it learns, and by its layers that changed."""

from pathlib import Path
from typing import Any

from _style import ACCENT, ANCHOR, SOFTMAX, save
from matplotlib.figure import Figure

from mmanchor.utils.files import read_json

KEPT = Path(__file__).resolve().parents[1] / 'benchmarks' / 'anchorize'
# Runs that are drawn as curves, and their names in the figure.
CURVES = {'first8': ('first 8 layers', ANCHOR), 'all12': ('all 12 layers', ACCENT)}


def runs() -> dict[str, dict[str, Any]]:
    """Name -> a kept run of ``tools.studies.anchorize_vit``."""
    return {path.stem: read_json(path) for path in sorted(KEPT.glob('*.json'))}


def draw(target: Path) -> None:
    """Write the figure to ``target``."""
    figure = Figure((9.6, 3.8), layout='constrained')
    over_time, over_cost = figure.subplots(1, 2)
    kept = runs()
    for name, (label, color) in CURVES.items():
        rows = kept[name]['rows'][1:]
        minutes = [row['minutes'] for row in rows]
        over_time.fill_between(
            minutes, [r['low'] for r in rows], [r['high'] for r in rows], color=color, alpha=0.12
        )
        over_time.plot(minutes, [r['top1'] for r in rows], marker='.', color=color, label=label)
    teacher = kept['first8']['rows'][0]
    over_time.axhline(teacher['top1'], color=SOFTMAX, ls='--', label='teacher')
    over_time.set(xlabel='minutes of learning, one thread', ylabel='top-1 of 500 images (%)')
    over_time.legend(loc='lower right')
    over_cost.axhline(teacher['top1'], color=SOFTMAX, ls='--')
    for name, run in kept.items():
        if name.startswith('without'):  # of the table of forms
            continue
        row = run['rows'][-1]
        is_short = name not in CURVES
        over_cost.errorbar(
            run['macs']['deploy'] / 1e9,
            row['top1'],
            [[row['top1'] - row['low']], [row['high'] - row['top1']]],
            fmt='o' if is_short else 's',
            color=SOFTMAX if is_short else CURVES[name][1],
            capsize=2,
        )
        layers = run['options']['layers'] or '0-11'
        place = (run['macs']['deploy'] / 1e9, row['top1'])
        over_cost.annotate(layers, place, (5, 4), textcoords='offset points', fontsize=9)
    over_cost.set(xlabel='multiply-adds at 224 x 224, deploy form (G)', ylabel='top-1 (%)')
    over_cost.set_title(
        'circles: 100 steps of alignment; squares: the runs on the left', fontsize=9
    )
    for axes in (over_time, over_cost):
        axes.grid(alpha=0.2)
    save(figure, target)


if __name__ == '__main__':
    draw(Path('anchorize.svg'))
