"""``mmanchor benchmark large``: images that do not fit in memory."""

import argparse

from mmanchor.cli.options import quiet_toolboxes
from tools.benchmarks.commands import at_least

HELP = 'the backbone on images of many megapixels, in bands and at once, on the CPU'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument(
        '--sides',
        type=int,
        nargs='+',
        default=[2048, 4096, 8192, 16384],
        metavar='PIXELS',
        help='sides of the square images (default: 2048 4096 8192 16384)',
    )
    parser.add_argument(
        '--chunk-tokens',
        type=int,
        default=2048,
        metavar='N',
        help='tokens of a band (default: %(default)s)',
    )
    parser.add_argument(
        '--arch',
        choices=('tiny', 'small', 'base'),
        default='small',
        help='size of the backbone (default: %(default)s)',
    )
    parser.add_argument(
        '--max-memory',
        type=float,
        metavar='GB',
        help='memory that a process may need; images that are expected to need more '
        "are left out (default: half of the machine's)",
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=6,
        help='rounds that compare both at 1024 pixels; fewer than 6 give a range '
        'instead of a 95 %% interval (default: %(default)s)',
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
    from mmanchor.utils.errors import UserError
    from mmanchor.utils.files import make_folder
    from tools.benchmarks.large_images import large_table, run_large

    quiet_toolboxes()
    at_least(16, sides=args.sides)
    at_least(1, chunk_tokens=args.chunk_tokens, rounds=args.rounds)
    most = args.max_memory
    if most is not None and not most > 0:  # NaN too
        raise UserError(f'--max-memory must be above 0, got {most}')
    make_folder(args.out_dir, '--out-dir')  # fails before the work, not after
    results = run_large(
        sorted(args.sides),
        args.chunk_tokens,
        args.arch,
        None if most is None else most * 1e9,
        args.rounds,
        track,
    )
    write_and_print(args.out_dir, 'large', results, large_table(results))
    return 0
