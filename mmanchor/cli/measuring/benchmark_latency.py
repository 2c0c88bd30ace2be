"""``mmanchor benchmark latency``: how long networks take, by engine."""

import argparse

from ..options import quiet_toolboxes
from . import add_configs, parse_shape, write_and_print

HELP = 'time networks side by side: eager, compiled, in ONNX Runtime'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-command's options to ``parser``."""
    add_configs(
        parser,
        'or exported files, such as model.onnx; speed-ups are relative to the first; two-stage '
        'detectors cannot be timed, as their cost depends on the number of proposals in an image',
    )
    parser.add_argument(
        '--engines',
        nargs='+',
        default=['eager'],
        metavar='ENGINE',
        help='eager, compile (torch.compile, which needs a C++ compiler) and '
        'onnxruntime (default: eager)',
    )
    parser.add_argument(
        '--batch',
        type=int,
        nargs='+',
        default=[1],
        metavar='IMAGES',
        help='batch sizes (default: 1)',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=20,
        help='how often each is timed; all take turns (default: %(default)s)',
    )
    parser.add_argument(
        '--device', choices=('cpu', 'cuda'), default='cpu', help='default: %(default)s'
    )
    parser.add_argument(
        '--dtype',
        choices=('float32', 'bfloat16', 'float16'),
        default='float32',
        help='of weights and images (default: %(default)s)',
    )
    parser.add_argument(
        '--form',
        choices=('deploy', 'training'),
        default='deploy',
        help='of models that have both (default: %(default)s)',
    )
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='store weights and images with the channels last',
    )
    parser.add_argument(
        '--cuda-graph', action='store_true', help='record a CUDA graph, and time its replay'
    )
    parser.add_argument(
        '--threads', type=int, help="of the CPU, for every engine (default: torch's)"
    )


def run(args: argparse.Namespace) -> int:
    """Time, print the table and write the files.

    Args:
        args: The parsed options.

    Returns:
        0, or 1 if nothing could be timed, and then nothing is written; a
        mistake raises ``UserError``.
    """
    from ...analysis.latency import LatencyOptions, latency_figure, latency_table, run_latency
    from ...utils.config import parse_options
    from ...utils.files import make_folder
    from ..progress import track

    quiet_toolboxes()
    options = LatencyOptions(
        engines=tuple(dict.fromkeys(args.engines)),
        batches=tuple(dict.fromkeys(args.batch)),
        size=parse_shape(args.shape),
        rounds=args.rounds,
        device=args.device,
        dtype=args.dtype,
        form=args.form,
        channels_last=args.channels_last,
        cuda_graph=args.cuda_graph,
        threads=args.threads,
        cfg_options=parse_options(args.cfg_options),
    )
    make_folder(args.out_dir, '--out-dir')  # fails before the work, not after
    results = run_latency(args.configs, options, track)
    table = latency_table(results)
    if not results['best']:
        print(table)
        return 1
    write_and_print(args.out_dir, 'latency', results, table, latency_figure(results))
    return 0
