"""``mmanchor benchmark complexity``: parameters and multiply-adds."""

import argparse

from ..options import quiet_toolboxes
from . import complexity, parse_shape, write_and_print

HELP = 'count parameters and multiply-adds, whole and by module'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-command's options to ``parser``."""
    complexity.add_arguments(parser)
    parser.add_argument(
        '--by-module',
        type=int,
        metavar='DEPTH',
        help='also list the modules, so many levels deep: 1 gives backbone, neck and head',
    )


def run(args: argparse.Namespace) -> int:
    """Count, print the tables and write the files.

    Args:
        args: The parsed options.

    Returns:
        0; a mistake raises ``UserError``.
    """
    from ...analysis.complexity import complexity_figure, complexity_table, run_complexity
    from ...utils.config import parse_options
    from ...utils.errors import UserError
    from ...utils.files import make_folder
    from ..progress import track

    quiet_toolboxes()
    cfg_options = parse_options(args.cfg_options)
    size = parse_shape(args.shape)
    depth = args.by_module
    if depth is not None and depth < 1:
        raise UserError(f'--by-module takes a depth of at least 1, got {depth}')
    make_folder(args.out_dir, '--out-dir')  # fails before the work, not after
    results = run_complexity(args.configs, cfg_options, size, depth or 0, track)
    write_and_print(
        args.out_dir, 'complexity', results, complexity_table(results), complexity_figure(results)
    )
    return 0
