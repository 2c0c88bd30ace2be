"""``mmanchor demo``: from nothing to a trained, scored and drawn model."""
import argparse
import sys

from .options import quiet_toolboxes

HELP = 'train, score and draw a small model on generated scenes'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument(
        'task', choices=('segmentation', ), help='which demo to run')
    parser.add_argument(
        '--data-root',
        default='data/demo-segmentation',
        help='folder of the generated scenes (default: %(default)s)')
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo-segmentation',
        help='folder for checkpoints, scores and pictures; with those of '
        'an earlier run in it, that run goes on (default: %(default)s)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override parts of the config')


def run(args: argparse.Namespace) -> int:
    """Run the demo and print a table of what came out.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from rich.console import Console
    from rich.table import Table

    from ..apis.config import parse_options
    from ..apis.demo_segmentation import METRIC, run_segmentation_demo

    quiet_toolboxes()
    # Bound now: while the demo runs, stdout takes what MMEngine prints.
    console = Console(file=sys.stdout, highlight=False)
    result = run_segmentation_demo(
        args.data_root,
        args.work_dir,
        parse_options(args.cfg_options),
        say=console.print)

    scores = Table('', 'validation split', title='UperNet + AnchorFormer')
    scores.add_row(f'{METRIC}, untrained', f'{result.untrained:.1f}')
    for name in (METRIC, 'mAcc', 'aAcc'):
        scores.add_row(name, f'{result.metrics[name]:.1f}')
    size = ' x '.join(map(str, result.size))
    for form, counts in result.complexity.items():
        scores.add_row(
            f'cost, {form} form', f'{counts.params / 1e6:.2f}M parameters, '
            f'{counts.macs / 1e9:.3f} GMACs at {size}')
    console.print(scores)
    for name, path in result.files.items():
        console.print(f'{name + ":":<13} {path}', soft_wrap=True)
    return 0
