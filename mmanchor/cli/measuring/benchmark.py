"""``mmanchor benchmark``: models and attentions beside their rivals."""

import argparse
import importlib

from .checkout import add_checkout_command

HELP = 'count, time and compare models and attentions'

# What measures a user's own models is installed; what compares ours with
# others' and with the paper's tables is run from a checkout.
INSTALLED = ('complexity', 'latency')
OF_THE_CHECKOUT = {
    'scaling': 'time and memory from 196 to 65536 tokens, beside rivals',
    'large': 'the backbone on images of many megapixels, in bands and at once',
    'training': 'shares of data loading and of SimOTA in the time of training',
    'papers': 'set the costs that the paper reports beside those counted here',
    'all': 'run every benchmark of the document, about an hour, and write it',
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
