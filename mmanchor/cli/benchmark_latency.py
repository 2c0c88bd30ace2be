"""``mmanchor benchmark latency``: how long networks take, by engine."""

import argparse

from .options import add_cfg_options, quiet_toolboxes

HELP = 'time networks side by side: eager, compiled, in ONNX Runtime'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-command's options to ``parser``."""
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG',
        help='paths or names of configs, also of the toolboxes, such as '
        'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py; speed-ups are to the '
        'first; two-stage detectors cannot be timed, as what they do depends '
        'on what they find',
    )
    add_cfg_options(parser)
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
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='image height and width, or one number for both (default: '
        '512 2048 for segmentation; for others the size that the config '
        'tests at)',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=20,
        help='how often each is timed, in turn (default: %(default)s)',
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
        help='lay weights and images out with the channels last',
    )
    parser.add_argument(
        '--cuda-graph', action='store_true', help='record what runs on the GPU, and time its replay'
    )
    parser.add_argument(
        '--threads', type=int, help="of the CPU, for every engine (default: torch's)"
    )


def run(args: argparse.Namespace) -> int:
    """Time, print the table, and say where the results are.

    Args:
        args: The parsed options.

    Returns:
        0, or 1 if nothing could be timed, and then nothing is written; what
        cannot be done raises ``UserError``.
    """
    from pathlib import Path

    from ..analysis.complexity_table import parse_shape
    from ..analysis.latency import LatencyOptions, latency_figure, latency_table, run_latency
    from ..analysis.report import write_results
    from ..utils.config import parse_options
    from ..utils.files import make_folder
    from .progress import track

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
    make_folder(args.out_dir, '--out-dir')
    results = run_latency(args.configs, options, track)
    table = latency_table(results)
    print(table)
    if not results['best']:
        return 1
    for path in write_results(
        Path(args.out_dir), 'latency', results, table, latency_figure(results)
    ):
        print(f'written to {path}')
    return 0
