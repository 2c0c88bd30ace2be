"""``mmanchor export-deploy``: the old name of ``mmanchor fold``."""

import argparse
import sys

from . import fold

HELP = 'the old name of fold'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    fold.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Say the new name, and fold.

    Args:
        args: The parsed options.
    """
    print('mmanchor export-deploy is now called mmanchor fold', file=sys.stderr)
    return fold.run(args)
