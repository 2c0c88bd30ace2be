"""``mmanchor benchmark large``: images that do not fit in memory."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = 'the backbone on images of many megapixels, in bands and at once, CPU'


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
        help='memory that a process may need; what is expected to need more '
        "is left out (default: half of the machine's)",
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=6,
        help='rounds that compare both at 1024 pixels; fewer than 6 give no '
        '95 %% interval (default: %(default)s)',
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
    from tools.benchmarks.large_images import large_table, run_large

    quiet_toolboxes()
    for name, least in (('sides', 16), ('chunk_tokens', 1), ('rounds', 1)):
        given = getattr(args, name)
        value = min(given) if isinstance(given, list) else given
        if value < least:
            raise UserError(f'--{name.replace("_", "-")} must be at least {least}, got {value}')
    most = args.max_memory
    if most is not None and not most > 0:  # NaN too
        raise UserError(f'--max-memory must be above 0, got {most}')
    make_folder(args.out_dir, '--out-dir')
    results = run_large(
        sorted(args.sides),
        args.chunk_tokens,
        args.arch,
        None if most is None else most * 1e9,
        args.rounds,
        track,
    )
    table = large_table(results)
    files = write_results(Path(args.out_dir), 'large', results, table)
    print(table)
    for path in files:
        print(f'written to {path}')
    return 0
