"""``mmanchor ablation``: the ablations on handwritten digits, from a checkout."""

import argparse

from .checkout import add_checkout_command

HELP = "train the paper's ablations on small real data, and compare them (from a checkout)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's options to ``parser``."""
    add_checkout_command(parser, 'tools.studies.digits.command')


def run(args: argparse.Namespace) -> int:
    """Run the study.

    Args:
        args: The parsed options.

    Returns:
        Its exit status.
    """
    return args.run(args)
