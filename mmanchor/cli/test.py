"""``mmanchor test``: score a checkpoint."""

import argparse

from .options import (
    add_config_arguments,
    add_data_root,
    add_launch_arguments,
    add_trust_argument,
    add_verbose,
    export_local_rank,
    quiet_toolboxes,
)

HELP = 'evaluate a checkpoint, or an exported file, on the test data of a config'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    add_config_arguments(parser)
    add_data_root(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help='the weights, or the last_checkpoint of a work folder'
    )
    parser.add_argument(
        '--config',
        dest='data_config',
        metavar='CONFIG',
        help='of an exported file, as in mmanchor test model.onnx --config CONFIG: the config '
        'whose test data and metrics score it',
    )
    parser.add_argument(
        '--checkpoint',
        dest='which',
        metavar='{latest,best,FILE}',
        help='in place of CHECKPOINT: the newest or the best of the work folder',
    )
    parser.add_argument(
        '--work-dir',
        help='folder for logs and test_metrics.json (default: what the '
        'config says, or work_dirs/NAME_OF_THE_CONFIG)',
    )
    parser.add_argument(
        '--out',
        help='keep predictions: a folder of masks for segmentation (class indices from 0, or from '
        '1 where the data set has reduce_zero_label); a .pkl file for classification; for '
        "detection a .pkl file, or NAME.bbox.json for a list of boxes that COCO's tools read",
    )
    parser.add_argument('--show', action='store_true', help='show every prediction in a window')
    parser.add_argument('--show-dir', help='folder for drawn predictions')
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that a window stays (default: %(default)s)',
    )
    parser.add_argument(
        '--report',
        metavar='FOLDER',
        help='write a page on what the model gets right and wrong, FOLDER/index.html, and what it '
        'is made from, for mmanchor report',
    )
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    add_verbose(parser)
    add_trust_argument(parser)
    add_launch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Test and print the scores.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from mmengine.dist import is_main_process

    from ..apis.test import METRICS_FILE, test_model, written_predictions
    from ..runtime.sessions import is_exported
    from ..utils.config import load_config, parse_options
    from ..utils.errors import UserError

    if is_exported(args.config):
        if args.data_config is None or args.checkpoint or args.which:
            raise UserError(f'give {args.config} and --config CONFIG, whose test data score it')
        args.config, args.checkpoint = args.data_config, args.config
    if (args.checkpoint is None) == (args.which is None):
        raise UserError('give CHECKPOINT, or --checkpoint latest or best')
    quiet_toolboxes()
    export_local_rank(args)
    cfg = load_config(
        args.config, parse_options(args.cfg_options), args.work_dir, args.launcher, args.data_root
    )
    metrics = test_model(
        cfg,
        args.which if args.checkpoint is None else args.checkpoint,
        args.out,
        args.show,
        args.show_dir,
        args.wait_time,
        args.tta,
        args.trust_checkpoint,
        args.verbose,
        args.report,
    )
    if is_main_process():
        for name, value in metrics.items():
            print(f'{name:<24} {value}')
        written = written_predictions(cfg)
        if not metrics and not written:
            print('no scores: nothing was predicted')
        for sentence in written:
            print(sentence)
        print(f'written to {cfg.work_dir}/{METRICS_FILE}')
        if args.report:
            print(f'the report is {args.report}/index.html')
    return 0
