"""``mmanchor benchmark scaling``: cost over the number of tokens."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = 'time and memory from 196 to 65536 tokens, beside rivals'

# Options that take a whole number from 1 on: the default, and the help.
_NUMBERS = {
    'batch': (1, 'images at once'),
    'heads': (6, 'number of heads'),
    'head-dims': (64, 'width of a head'),
    'anchors': (30, 'number of anchors, agents, bases and inducing points'),
    'trunk-depth': (12, 'layers of the trunks'),
    'rounds': (20, 'timed rounds of each measurement, at most'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = (
        'Writes scaling.json, scaling.md and scaling.png. What would not fit '
        'into the budget or the memory is skipped, and told with the reason.'
    )
    for name, (default, text) in _NUMBERS.items():
        parser.add_argument(
            f'--{name}', type=int, default=default, help=f'{text} (default: %(default)s)'
        )
    parser.add_argument(
        '--tokens',
        type=int,
        nargs='+',
        default=[196, 1024, 4096, 16384, 65536],
        metavar='N',
        help='numbers of tokens (default: 196 1024 4096 16384 65536)',
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=('attention', 'trunk'),
        default=['attention', 'trunk'],
        help='attention alone, or whole trunks (default: both)',
    )
    parser.add_argument(
        '--backward',
        action='store_true',
        help='measure a training step (forward and backward), too',
    )
    parser.add_argument(
        '--budget-seconds',
        type=float,
        default=120.0,
        help='time for all calls of one row at one size; what would need more '
        'is skipped (default: %(default)s)',
    )
    parser.add_argument(
        '--max-memory',
        type=float,
        metavar='GB',
        help="memory that a call may hold (default: half of the device's)",
    )
    parser.add_argument(
        '--device', default='cpu', help="'cpu' or a CUDA device (default: %(default)s)"
    )
    parser.add_argument(
        '--dtype',
        choices=('float32', 'bfloat16', 'float16'),
        default='float32',
        help='(default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Measure, write the files and print the table.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from pathlib import Path

    from mmanchor.analysis.report import write_results
    from mmanchor.cli.progress import track
    from mmanchor.utils.files import make_folder
    from tools.benchmarks.scaling import (
        Limits,
        Setting,
        machine_memory,
        run_scaling,
        scaling_figure,
        scaling_table,
    )

    quiet_toolboxes()
    _check(args)
    # Nobody should learn after minutes that nothing can be written.
    make_folder(args.out_dir, '--out-dir')
    memory = args.max_memory * 1e9 if args.max_memory else (machine_memory(args.device) / 2)
    setting = Setting(
        args.batch,
        args.heads,
        args.head_dims,
        args.anchors,
        args.trunk_depth,
        args.device,
        args.dtype,
    )
    results = run_scaling(
        args.tokens,
        args.parts,
        args.backward,
        setting,
        Limits(args.rounds, args.budget_seconds, memory),
        track,
    )
    table = scaling_table(results)
    files = write_results(Path(args.out_dir), 'scaling', results, table, scaling_figure(results))
    print(table)
    for path in files:
        print(f'written to {path}')
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options that cannot be served."""
    import torch

    from mmanchor.utils.errors import UserError

    for name in _NUMBERS:
        value = getattr(args, name.replace('-', '_'))
        if value < 1:
            raise UserError(f'--{name} must be at least 1, got {value}')
    if args.head_dims < 2:
        raise UserError(
            f'--head-dims must be at least 2, as Sparsifiner halves it, got {args.head_dims}'
        )
    if min(args.tokens) < 1:
        raise UserError(f'--tokens must be at least 1, got {args.tokens}')
    for name in ('budget_seconds', 'max_memory'):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise UserError(f'--{name.replace("_", "-")} must be above 0, got {value}')
    try:
        torch.empty(0, device=args.device)
        known = torch.device(args.device).type in ('cpu', 'cuda')
    except (RuntimeError, AssertionError):  # torch without CUDA asserts
        known = False
    if not known:
        raise UserError(
            f"--device must be 'cpu' or a CUDA device that torch has here, got {args.device!r}"
        )
