"""Options that several commands share, as OpenMMLab's tools spell them."""

import argparse
import logging
import os
import warnings


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the config and ``--cfg-options``."""
    parser.add_argument(
        'config',
        help='path of a config, or the name of one of ours, such as upernet_anchorformer_ade',
    )
    add_cfg_options(parser)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override parts of the config, such as '
        'train_dataloader.batch_size=2 or key="[(a,b),(c,d)]" (no spaces)',
    )


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-root``."""
    parser.add_argument(
        '--data-root',
        metavar='FOLDER',
        help="folder of the data, in place of the config's data_root, for all splits and scores",
    )


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and the rank that old launchers pass."""
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='what started the processes of a distributed run (default: %(default)s)',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_trust_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint even if it may run code: only for files whose origin you trust',
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose``."""
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='print config, environment and hooks too, which the log file has anyway',
    )


def whole_number(text: str) -> int:
    """A number from 0 to 2 ** 32 - 1, which numpy takes as a seed.

    Raises:
        ArgumentTypeError: If it is none.

    Example:
        >>> whole_number('3')
        3
    """
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f'must be a whole number from 0 to 2**32 - 1, got {text!r}'
        )
    return int(text)


def export_local_rank(args: argparse.Namespace) -> None:
    """Hand ``--local-rank`` to MMEngine, which reads the environment."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))


def quiet_toolboxes() -> None:
    """Hide warnings that the toolboxes give about their own code."""
    for module in ('mmcv', 'mmdet', 'mmengine', 'mmpretrain', 'mmseg'):
        warnings.filterwarnings('ignore', module=rf'{module}\.')
    # A log file on a full disk would print a traceback for each line.
    logging.raiseExceptions = False
    # Given by mmdet's priors, though torch says that it gives it itself.
    warnings.filterwarnings('ignore', message=r'torch\.meshgrid')
