"""``mmanchor benchmark all``: what docs/benchmarks.md is made of."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = 'run every benchmark of the document, about an hour, and write it'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = (
        'Each benchmark runs in a process of its own. What has results in '
        '--out-dir already is not run again; the document, beside that folder '
        'and with its name, is always written anew. Its text is template.md '
        'in that folder, if there is one; else it is all tables and plots.'
    )
    parser.add_argument(
        '--again', action='store_true', help='run everything, also what has results'
    )


def run(args: argparse.Namespace) -> int:
    """Run what is missing and write the document.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from mmanchor.cli.progress import track
    from tools.benchmarks.suite import run_suite

    quiet_toolboxes()
    print(f'written to {run_suite(args.out_dir, args.again, track)}')
    return 0
