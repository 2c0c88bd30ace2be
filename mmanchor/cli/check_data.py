"""``mmanchor check-data``: check data and recipe before training."""

import argparse

from .options import add_config_arguments, add_data_root

HELP = 'check the data sets of a config: counts, pairs, labels, boxes, recipe'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    add_config_arguments(parser)
    add_data_root(parser)
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=('train', 'val', 'test'),
        default=('train', 'val', 'test'),
        help='dataloaders to check (default: all)',
    )
    parser.add_argument(
        '--quick',
        type=int,
        nargs='?',
        const=100,
        metavar='N',
        help='read only N files of each data set, evenly spread (100 if N '
        'is not given); file names are still all compared',
    )
    parser.add_argument('--json', metavar='FILE', help='also write the findings to FILE')


def run(args: argparse.Namespace) -> int:
    """Check and print a table.

    Args:
        args: The parsed options.

    Returns:
        0 if nothing is wrong, else 1.
    """
    from rich.console import Console

    from ..data_check.check import check_data
    from ..data_check.recipe import check_recipe
    from ..utils.config import load_config, parse_options
    from ..utils.errors import UserError
    from ..utils.files import require_file_path, write_json
    from .progress import track

    if args.quick is not None and args.quick < 1:
        raise UserError(f'--quick must be 1 or more, got {args.quick}')
    if args.json is not None:
        require_file_path(args.json, '--json')
    cfg = load_config(args.config, parse_options(args.cfg_options), data_root=args.data_root)
    reports = check_data(cfg, args.splits, args.quick, track)
    if not reports:
        raise UserError(f'{args.config} has no dataloader for {", ".join(args.splits)}')
    reports.append(check_recipe(cfg, reports))
    console = Console(soft_wrap=True, highlight=False)
    for report in reports:
        _print(console, report)
    if args.json:
        write_json(args.json, [report.as_dict() for report in reports])
    bad = sum(len(report.problems) for report in reports)
    console.print(f'{bad} problem{"s" * (bad > 1)}' if bad else 'no problems')
    return int(bool(bad))


def _print(console, report) -> None:
    """Print one report: its places, tables of counts, what is wrong."""
    from rich.table import Table

    if not report.splits and not report.problems and not report.notes:
        return
    title = ', '.join(report.splits)
    console.print(f'{title}: {report.dataset}' if title else report.dataset, style='bold')
    for place in report.places:
        console.print(f'  {place}', markup=False)
    if report.counts:
        table = Table(*report.counts)
        table.add_row(*(str(count) for count in report.counts.values()))
        console.print(table)
    if report.per_class:
        columns = list(next(iter(report.per_class.values())))
        table = Table('class')
        for name in columns:
            table.add_column(name, justify='right')
        for name, counts in report.per_class.items():
            table.add_row(str(name), *(f'{counts[column]:g}' for column in columns))
        console.print(table, markup=False)
    for problem in report.problems:
        count = f'{problem.count} ' if problem.examples else ''
        console.print(
            f'  PROBLEM {problem.code}: {count}{problem.message}', style='red', markup=False
        )
        for example in problem.examples:
            console.print(f'    {example}', markup=False)
    for note in report.notes:
        console.print(f'  note: {note}', markup=False)
