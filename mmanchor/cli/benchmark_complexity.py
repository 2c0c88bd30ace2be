"""``mmanchor benchmark complexity``: parameters and multiply-adds."""

import argparse

from . import complexity
from .options import quiet_toolboxes

HELP = 'count parameters and multiply-adds, whole and by module'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-command's options to ``parser``."""
    complexity.add_arguments(parser)
    parser.add_argument(
        '--by-module',
        type=int,
        metavar='DEPTH',
        help='list the modules too, so many names deep: 1 gives backbone, neck and head',
    )


def run(args: argparse.Namespace) -> int:
    """Count, print the tables, and say where the results are.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from pathlib import Path

    from ..analysis.complexity_table import (
        check_depth,
        complexity_figure,
        complexity_table,
        parse_shape,
        run_complexity,
    )
    from ..analysis.report import write_results
    from ..utils.config import parse_options
    from ..utils.files import make_folder
    from .progress import track

    quiet_toolboxes()
    cfg_options = parse_options(args.cfg_options)
    size = parse_shape(args.shape)
    check_depth(args.by_module)
    make_folder(args.out_dir, '--out-dir')
    results = run_complexity(args.configs, cfg_options, size, args.by_module, track)
    table = complexity_table(results)
    print(table)
    for path in write_results(
        Path(args.out_dir), 'complexity', results, table, complexity_figure(results)
    ):
        print(f'written to {path}')
    return 0
