"""``mmanchor make-demo-data``: render the demo data set."""

import argparse
from pathlib import Path

HELP = 'render demo scenes in the layouts of ADE20K and COCO'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument(
        'root',
        nargs='?',
        default='data/demo',
        metavar='ROOT',
        type=Path,
        help='folder to make (default: %(default)s)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='the same seed gives the same files (default: %(default)s)',
    )
    parser.add_argument(
        '--num-train',
        type=int,
        default=1000,
        metavar='N',
        help='training images (default: %(default)s)',
    )
    parser.add_argument(
        '--num-val',
        type=int,
        default=200,
        metavar='N',
        help='validation images (default: %(default)s)',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        default=[160],
        metavar='PIXELS',
        help='image height and width, or one number for both (default: 160)',
    )
    parser.add_argument(
        '--layout',
        choices=('ade', 'coco', 'both'),
        default='both',
        help='which files to write (default: %(default)s)',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a demo data set made from other parameters',
    )


def run(args: argparse.Namespace) -> int:
    """Make the data set and print its path and contents.

    Args:
        args: The parsed options.

    Returns:
        0; errors raise ``UserError``.
    """
    from rich.console import Console
    from rich.table import Table

    from ..demo.scenes import DEMO_CLASSES, make_demo_data

    size = args.size * 2 if len(args.size) == 1 else args.size
    data = make_demo_data(
        args.root,
        seed=args.seed,
        num_train=args.num_train,
        num_val=args.num_val,
        size=tuple(size),
        layout=args.layout,
        overwrite=args.overwrite,
    )

    table = Table('class', title='images with the class / objects')
    for split in data.images:
        table.add_column(split, justify='right')
    for name in DEMO_CLASSES:
        cells = []
        for split in data.images:
            objects = data.instances[split].get(name, '-')
            cells.append(f'{data.images_with[split][name]} / {objects}')
        table.add_row(name, *cells)
    table.add_row('images', *(str(count) for count in data.images.values()))
    console = Console()
    console.print(table)
    state = 'written' if data.built else 'already complete, unchanged'
    for name in ('ade', 'coco'):
        if (data.root / name).is_dir():
            console.print(f'{name}: {data.root / name} ({state})')
    return 0
