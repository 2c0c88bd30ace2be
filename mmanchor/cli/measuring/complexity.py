"""``mmanchor complexity``: parameters and multiply-adds of configs."""

import argparse
from itertools import groupby
from operator import itemgetter

from ..options import quiet_toolboxes
from . import add_configs, parse_shape

HELP = 'count parameters and multiply-adds at test time'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    add_configs(
        parser,
        'two-stage detectors cannot be counted, as their cost depends on the '
        'number of proposals in an image',
    )


def run(args: argparse.Namespace) -> int:
    """Print a table with a row for each config and form.

    Args:
        args: The parsed options.

    Returns:
        0; a mistake raises ``UserError``.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ...analysis.complexity import run_complexity, uncounted_notes
    from ...utils.config import parse_options

    quiet_toolboxes()
    results = run_complexity(args.configs, parse_options(args.cfg_options), parse_shape(args.shape))
    table = Table(title='one image at test time', box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column('config', overflow='fold')
    for title in ('pixels', 'params (M)', 'MACs (G)'):
        table.add_column(title, justify='right')
    # Names are long: forms stand below theirs, not beside it.
    for config, rows in groupby(results['rows'], key=itemgetter('config')):
        table.add_row(config)
        for row in rows:
            table.add_row(
                f'  {row["form"]} form',
                f'{row["height"]} x {row["width"]}',
                f'{row["params"] / 1e6:.2f}',
                f'{row["macs"] / 1e9:.2f}',
            )
    Console().print(table, *uncounted_notes(results['rows']))
    return 0
