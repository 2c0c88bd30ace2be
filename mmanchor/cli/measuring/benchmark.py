"""``mmanchor benchmark``: measure and compare models and attentions."""

import argparse
import importlib

from .checkout import add_checkout_command

HELP = 'count, time and compare models and attentions'

# What measures a user's own models is installed. What compares ours with other
# attentions and with the paper's tables runs from a checkout only.
INSTALLED = ('complexity', 'latency')
OF_THE_CHECKOUT = {
    'scaling': 'time and memory from 196 to 65536 tokens, compared with other attentions',
    'large': 'the backbone on images of many megapixels, in bands and at once, on the CPU',
    'training': 'how much training time goes into data loading and SimOTA, on the CPU',
    'papers': 'compare the costs that the paper reports with those counted here',
    'all': 'run every benchmark of docs/benchmarks.md, which takes about an hour',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands to ``parser``."""
    commands = parser.add_subparsers(dest='benchmark', required=True, metavar='WHAT')
    for name in INSTALLED:
        module = importlib.import_module(f'{__package__}.benchmark_{name}')
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
        _add_out_dir(command)
    for name, text in OF_THE_CHECKOUT.items():
        command = commands.add_parser(name, help=f'{text} (from a checkout)', description=text)
        if add_checkout_command(command, f'tools.benchmarks.commands.{name}'):
            _add_out_dir(command)


def _add_out_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        '--out-dir',
        default='work_dirs/benchmark',
        help='folder for the JSON, the table and, of most, a plot (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Run the chosen sub-command.

    Args:
        args: The parsed options.

    Returns:
        Its exit status.
    """
    return args.run(args)
