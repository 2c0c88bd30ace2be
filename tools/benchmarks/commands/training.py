"""``mmanchor benchmark training``: what training spends its time on."""

import argparse

from mmanchor.cli.options import quiet_toolboxes
from tools.benchmarks.commands import at_least

HELP = 'how much training time goes into data loading and SimOTA, on the CPU'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument(
        '--iters', type=int, default=30, help='iterations of each demo (default: %(default)s)'
    )
    parser.add_argument(
        '--assignment-iters',
        type=int,
        default=5,
        help='training steps of PicoDet-S (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and write the files.

    Args:
        args: The parsed options.

    Returns:
        0; a mistake raises ``UserError``.
    """
    from mmanchor.cli.measuring import write_and_print
    from mmanchor.cli.progress import track
    from mmanchor.utils.files import make_folder
    from tools.benchmarks.training import run_training, training_table

    quiet_toolboxes()
    at_least(1, iters=args.iters, assignment_iters=args.assignment_iters)
    make_folder(args.out_dir, '--out-dir')  # fails before the work, not after
    results = run_training(args.iters, args.assignment_iters, track)
    write_and_print(args.out_dir, 'training', results, training_table(results))
    return 0
