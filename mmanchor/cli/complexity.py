"""``mmanchor complexity``: parameters and multiply-adds of configs."""
import argparse

from .options import add_cfg_options, quiet_toolboxes

HELP = 'count parameters and multiply-adds at test time'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument('configs', nargs='+', help='paths or names of configs')
    add_cfg_options(parser)
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='image height and width, or one number for both (default: '
        '512 2048 for segmentation, as papers count it; for others the size '
        'that the config tests at)')


def run(args: argparse.Namespace) -> int:
    """Print a table with a row for each config and form.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from rich.console import Console
    from rich.table import Table

    from ..apis.complexity import complexity_of_forms, default_size
    from ..apis.config import load_config, parse_options
    from ..apis.errors import UserError

    quiet_toolboxes()
    shape = args.shape
    if shape and (len(shape) > 2 or min(shape) < 1):
        raise UserError('--shape takes a height and a width in pixels, or one '
                        f'number for both, got {shape}')
    table = Table(title='one image at test time')
    table.add_column('config', overflow='fold')
    table.add_column('form')
    for title in ('pixels', 'parameters (M)', 'MACs (G)'):
        table.add_column(title, justify='right')
    for name in args.configs:
        cfg = load_config(name, parse_options(args.cfg_options))
        size = (shape[0], shape[-1]) if shape else default_size(cfg)
        for form, counts in complexity_of_forms(cfg, size).items():
            table.add_row(name, form, f'{size[0]} x {size[1]}',
                          f'{counts.params / 1e6:.2f}',
                          f'{counts.macs / 1e9:.2f}')
    Console().print(table)
    return 0
