"""``mmanchor train``: train by a config."""

import argparse

from .options import (
    add_config_arguments,
    add_data_root,
    add_launch_arguments,
    add_trust_argument,
    add_verbose,
    export_local_rank,
    quiet_toolboxes,
    whole_number,
)

HELP = 'train the model of a config'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    add_config_arguments(parser)
    add_data_root(parser)
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints (default: what the config '
        'says, or work_dirs/NAME_OF_THE_CONFIG)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT, or from the newest in the work folder if it is left out',
    )
    parser.add_argument('--amp', action='store_true', help='train with mixed precision')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate by the batch size'
    )
    parser.add_argument(
        '--seed',
        type=whole_number,
        help='of weights, order and augmentation (default: another each time)',
    )
    parser.add_argument(
        '--tracker',
        action='append',
        default=[],
        choices=('tensorboard', 'wandb', 'mlflow', 'clearml'),
        help='also log to this tracker; may be given several times',
    )
    add_verbose(parser)
    add_trust_argument(parser)
    add_launch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ..apis.train import train_model
    from ..engine.trackers import use_trackers
    from ..utils.config import load_config, parse_options

    quiet_toolboxes()
    export_local_rank(args)
    cfg = load_config(
        args.config, parse_options(args.cfg_options), args.work_dir, args.launcher, args.data_root
    )
    if args.seed is not None:
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': args.seed}
    use_trackers(cfg, args.tracker)
    runner = train_model(
        cfg, args.resume, args.amp, args.auto_scale_lr, args.trust_checkpoint, args.verbose
    )
    runner.logger.info(f'done: checkpoints and logs are in {runner.work_dir}')
    return 0
