"""``mmanchor benchmark all``: the results that docs/benchmarks.md shows."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = 'run every benchmark of docs/benchmarks.md, which takes about an hour'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = (
        'Each benchmark runs in its own process and writes into its own folder below --out-dir. '
        'A benchmark with results there is not run again. docs/benchmarks.md shows the results '
        'below docs/benchmarks.'
    )
    parser.add_argument('--again', action='store_true', help='run all, also those with results')


def run(args: argparse.Namespace) -> int:
    """Run what has no results yet.

    Args:
        args: The parsed options.

    Returns:
        0; a mistake raises ``UserError``.
    """
    from mmanchor.cli.progress import track
    from tools.benchmarks.suite import run_suite

    quiet_toolboxes()
    written = run_suite(args.out_dir, args.again, track)
    for path in written:
        print(f'written to {path}')
    if not written:
        print(f'all benchmarks have results in {args.out_dir}; --again runs them again')
    return 0
