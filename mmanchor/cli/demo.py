"""``mmanchor demo``: train, score and draw on generated scenes."""

import argparse
import sys

from .options import add_cfg_options, quiet_toolboxes

HELP = 'train, evaluate and draw small models on generated scenes'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument('task', choices=tuple(TASKS), help='which demo to run')
    parser.add_argument(
        '--data-root', help='folder of the generated scenes (default: data/demo-TASK)'
    )
    parser.add_argument(
        '--work-dir',
        help='folder for checkpoints, scores and images; a run that was '
        'interrupted there is continued (default: work_dirs/demo-TASK)',
    )
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo and print a table of results.

    Args:
        args: The parsed options.

    Returns:
        0; errors raise ``UserError``.
    """
    from rich.console import Console

    from ..utils.config import parse_options

    quiet_toolboxes()
    # Bind stdout now: the demo redirects it for MMEngine's output.
    console = Console(file=sys.stdout, highlight=False)
    table, files = TASKS[args.task](
        args.data_root or f'data/demo-{args.task}',
        args.work_dir or f'work_dirs/demo-{args.task}',
        parse_options(args.cfg_options),
        console.print,
    )
    console.print(table)
    for name, path in files.items():
        console.print(f'{name + ":":<13} {path}', soft_wrap=True)
    return 0


def _segmentation(*args) -> tuple:
    """Run the segmentation demo; its table and files."""
    from rich.table import Table

    from ..demo.segmentation import METRIC, run_segmentation_demo

    result = run_segmentation_demo(*args)
    table = Table('', 'validation split', title='UperNet + AnchorFormer')
    table.add_row(f'{METRIC}, untrained', f'{result.untrained:.1f}')
    for name in (METRIC, 'mAcc', 'aAcc'):
        table.add_row(name, f'{result.metrics[name]:.1f}')
    size = ' x '.join(map(str, result.size))
    for form, counts in result.complexity.items():
        table.add_row(
            f'cost, {form} form',
            f'{counts.params / 1e6:.2f}M parameters, {counts.macs / 1e9:.3f} GMACs at {size}',
        )
    return table, result.files


def _detection(*args) -> tuple:
    """Run the detection demo; its table and files."""
    from rich.table import Table

    from ..demo.detection import run_detection_demo

    result = run_detection_demo(*args)
    size = ' x '.join(map(str, result.size))
    names = list(result.detectors)
    table = Table('', *names, title=f'PicoDet, validation split, {size} pixels')
    detectors = result.detectors.values()
    costs = [each.cost() for each in detectors]
    table.add_row('parameters', *(f'{cost.params / 1e6:.2f}M' for cost in costs))
    table.add_row('GMACs', *(f'{cost.macs / 1e9:.3f}' for cost in costs))
    for metric in next(iter(detectors)).metrics:
        scores = [each.metrics[metric] for each in detectors]
        table.add_row(metric, *('-' if score is None else f'{score:.3f}' for score in scores))
    table.add_row('minutes of training', *(f'{each.minutes:.1f}' for each in detectors))
    return table, result.files


# Each runs a demo and returns the table and the files to print.
TASKS = dict(segmentation=_segmentation, detection=_detection)
