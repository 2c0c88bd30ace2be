"""``mmanchor benchmark training``: what training spends its time on."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = "shares of data loading and of SimOTA in training's time, on the CPU"


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
    """Measure, write the files and print the table.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from pathlib import Path

    from mmanchor.analysis.report import write_results
    from mmanchor.cli.progress import track
    from mmanchor.utils.errors import UserError
    from mmanchor.utils.files import make_folder
    from tools.benchmarks.training import run_training, training_table

    quiet_toolboxes()
    for name in ('iters', 'assignment_iters'):
        if getattr(args, name) < 1:
            raise UserError(
                f'--{name.replace("_", "-")} must be at least 1, got {getattr(args, name)}'
            )
    make_folder(args.out_dir, '--out-dir')
    results = run_training(args.iters, args.assignment_iters, track)
    table = training_table(results)
    print(table)
    for path in write_results(Path(args.out_dir), 'training', results, table):
        print(f'written to {path}')
    return 0
