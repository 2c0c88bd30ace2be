"""``mmanchor benchmark``: models and attentions beside their rivals."""

import argparse
import importlib

HELP = 'count, time and compare models and attentions'

# A module mmanchor.cli.benchmark_<name> has the same three parts as any
# command's.
COMMANDS = ('all', 'complexity', 'latency', 'scaling', 'large', 'training', 'papers')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands to ``parser``."""
    commands = parser.add_subparsers(dest='benchmark', required=True, metavar='WHAT')
    for name in COMMANDS:
        module = importlib.import_module(f'{__package__}.benchmark_{name}')
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.add_argument(
            '--out-dir',
            default='work_dirs/benchmark',
            help='folder for the JSON, the table and, of most, a plot (default: %(default)s)',
        )
        command.set_defaults(run=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the chosen sub-command.

    Args:
        args: The parsed options.

    Returns:
        Its exit status.
    """
    return args.run(args)
