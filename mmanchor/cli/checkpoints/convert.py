"""``mmanchor convert``: checkpoints of other projects become ours."""

import argparse
from collections import Counter

from ..options import add_cfg_options, quiet_toolboxes

HELP = "convert another project's checkpoint, such as timm's"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    # The converters import torch, which a list of commands need not wait for.
    from ...converters import KINDS

    parser.add_argument(
        'kind',
        metavar='KIND',
        help='what SRC is: ' + '; '.join(f'{name}, {kind.source}' for name, kind in KINDS.items()),
    )
    parser.add_argument('source', metavar='SRC', help='the file: .pdparams, .pth or .safetensors')
    parser.add_argument('out', metavar='DST', help='file to write, .pth or .safetensors')
    parser.add_argument(
        '--config',
        required=True,
        help='path or name of the config of the model that the weights are for',
    )
    parser.add_argument(
        '--anchors-from',
        metavar='FOLDER',
        help='images that learned anchors are fitted to, for the kinds '
        + ', '.join(name for name, kind in KINDS.items() if kind.calibrates)
        + ' (default: they are drawn from the query projections)',
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--no-strict',
        action='store_true',
        help='write what fits even if entries are left over, missing or of another shape',
    )


def run(args: argparse.Namespace) -> int:
    """Convert, and say what became of the entries.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from rich.console import Console
    from rich.table import Table

    from ...apis.conversion import convert_checkpoint
    from ...utils.config import load_config, parse_options

    quiet_toolboxes()
    cfg = load_config(args.config, parse_options(args.cfg_options))
    report = convert_checkpoint(
        args.kind,
        args.source,
        args.out,
        cfg,
        strict=not args.no_strict,
        anchors_from=args.anchors_from,
    )
    table = Table('entries')
    table.add_column('number', justify='right')
    table.add_row('converted', str(len(report.converted)))
    table.add_row('given a fixed value', str(len(report.made)))
    for how, number in Counter(report.adapted.values()).items():
        table.add_row(f'adapted: {how}', str(number))
    for reason, number in Counter(report.skipped.values()).items():
        table.add_row(f'left out: {reason}', str(number))
    rest = [('left over', name) for name in report.unmatched]
    rest += [('missing', name) for name in report.missing]
    rest += [
        ('not fitting', f'{name}: {difference}') for name, difference in report.mismatched.items()
    ]
    for title, number in Counter(title for title, _ in rest).items():
        table.add_row(title, str(number))
    Console().print(table)
    for title, text in rest:
        print(f'{title}: {text}')
    print(f'{args.out}: {len(report.converted)} weights of {args.source}')
    return 0
