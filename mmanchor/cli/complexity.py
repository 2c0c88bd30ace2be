"""``mmanchor complexity``: parameters and multiply-adds of configs."""
import argparse

from .options import quiet_toolboxes

HELP = 'count parameters and multiply-adds at test time'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument('configs', nargs='+', help='paths or names of configs')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        default=[512, 2048],
        metavar='PIXELS',
        help='image height and width, or one number for both '
        '(default: 512 2048)')


def run(args: argparse.Namespace) -> int:
    """Print a table with a row for each config and form.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from rich.console import Console
    from rich.table import Table

    from ..apis.complexity import complexity_of_forms
    from ..apis.config import load_config
    from ..apis.errors import UserError

    quiet_toolboxes()
    if len(args.shape) > 2 or min(args.shape) < 1:
        raise UserError('--shape takes a height and a width in pixels, or one '
                        f'number for both, got {args.shape}')
    size = (args.shape[0], args.shape[-1])
    table = Table(
        'config', 'form', title=f'one image of {size[0]} x {size[1]} pixels')
    table.add_column('parameters (M)', justify='right')
    table.add_column('MACs (G)', justify='right')
    for name in args.configs:
        cfg = load_config(name)
        for form, counts in complexity_of_forms(cfg, size).items():
            table.add_row(name, form, f'{counts.params / 1e6:.2f}',
                          f'{counts.macs / 1e9:.2f}')
    Console().print(table)
    return 0
