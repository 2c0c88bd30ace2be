"""``mmanchor benchmark scaling``: cost over the number of tokens."""

import argparse

from mmanchor.cli.options import quiet_toolboxes
from tools.benchmarks.commands import at_least

HELP = 'time and memory from 196 to 65536 tokens, compared with other attentions'

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
        'Writes scaling.json, scaling.md and scaling.png. Measurements that would not fit '
        'into the budget or the memory are skipped and listed with the reason.'
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
        help='also measure a training step (forward and backward)',
    )
    parser.add_argument(
        '--budget-seconds',
        type=float,
        default=120.0,
        help='time for all calls of one row at one size; sizes that would need more '
        'are skipped (default: %(default)s)',
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
    """Measure, print the table and write the files.

    Args:
        args: The parsed options.

    Returns:
        0; a mistake raises ``UserError``.
    """
    from mmanchor.cli.measuring import write_and_print
    from mmanchor.cli.progress import track
    from mmanchor.utils.files import make_folder
    from tools.benchmarks.memory import machine_memory
    from tools.benchmarks.scaling.cases import Setting
    from tools.benchmarks.scaling.plan import Limits
    from tools.benchmarks.scaling.report import scaling_figure, scaling_table
    from tools.benchmarks.scaling.rows import run_scaling

    quiet_toolboxes()
    _check(args)
    make_folder(args.out_dir, '--out-dir')  # fails before the work, not after
    memory = args.max_memory * 1e9 if args.max_memory else machine_memory(args.device) / 2
    setting = Setting(
        args.batch,
        args.heads,
        args.head_dims,
        args.anchors,
        args.trunk_depth,
        args.device,
        args.dtype,
    )
    limits = Limits(args.rounds, args.budget_seconds, memory)
    results = run_scaling(args.tokens, args.parts, args.backward, setting, limits, track)
    write_and_print(
        args.out_dir, 'scaling', results, scaling_table(results), scaling_figure(results)
    )
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options that make no sense, before anything is measured."""
    import torch

    from mmanchor.utils.errors import UserError

    names = [name.replace('-', '_') for name in _NUMBERS]
    at_least(1, **{name: getattr(args, name) for name in [*names, 'tokens']})
    if args.head_dims < 2:
        raise UserError(
            f'--head-dims must be at least 2, as Sparsifiner halves it, got {args.head_dims}'
        )
    for name in ('budget_seconds', 'max_memory'):
        value = getattr(args, name)
        if value is not None and not value > 0:  # NaN too
            raise UserError(f'--{name.replace("_", "-")} must be above 0, got {value}')
    try:
        torch.empty(0, device=args.device)
        known = torch.device(args.device).type in ('cpu', 'cuda')
    except (RuntimeError, AssertionError):  # torch without CUDA asserts
        known = False
    if not known:
        raise UserError(
            f"--device must be 'cpu' or a CUDA device that torch finds, got {args.device!r}"
        )
