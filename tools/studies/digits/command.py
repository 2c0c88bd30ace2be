"""``mmanchor ablation``: the paper's ablations at a small scale."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = "train the paper's ablations on small real data, and compare them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = (
        'Trains on the handwritten digits of scikit-learn. A stopped run resumes. At the end '
        'results.json, table.md and accuracy.png are in the folder.'
    )
    parser.add_argument(
        '--rows',
        nargs='+',
        metavar='ROW',
        help='rows to train (default: all); a wrong name lists them',
    )
    parser.add_argument(
        '--seeds', type=int, default=3, help='how often each row is trained (default: %(default)s)'
    )
    parser.add_argument(
        '--epochs', type=int, default=20, help='length of each training (default: %(default)s)'
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=2,
        help='trainings at once, of one thread each (default: %(default)s)',
    )
    parser.add_argument(
        '--out-dir',
        default='work_dirs/ablation',
        help='folder for the results (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Train, measure, print the table and write the files.

    Args:
        args: The parsed options.

    Returns:
        0; a mistake raises ``UserError``.
    """
    from pathlib import Path

    from mmanchor.cli.progress import track
    from tools.studies.digits.ablation import run_ablation
    from tools.studies.digits.report import ablation_table, write_report
    from tools.studies.digits.rows import ROWS

    quiet_toolboxes()
    rows = tuple(args.rows or ROWS)
    results = run_ablation(args.out_dir, rows, args.seeds, args.epochs, args.jobs, track)
    files = write_report(results, Path(args.out_dir))
    print(ablation_table(results))
    for path in files:
        print(f'written to {path}')
    return 0
