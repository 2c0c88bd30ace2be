"""``mmanchor fold``: fold the weights of a trained model into its deploy form."""

import argparse

from ..options import add_config_arguments, add_trust_argument, quiet_toolboxes

HELP = 'fuse a checkpoint for deployment: smaller, faster, the same outputs'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='the trained weights')
    parser.add_argument(
        'out',
        help='file to write, .pth or .safetensors; a config of the same name is written beside it',
    )
    add_trust_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Fold, and say what changed.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ...apis.export import export_deploy
    from ...compat.trust import trust_checkpoint
    from ...utils.config import load_config, parse_options

    quiet_toolboxes()
    cfg = load_config(args.config, parse_options(args.cfg_options))
    if args.trust_checkpoint:
        trust_checkpoint(args.checkpoint)
    report = export_deploy(cfg, args.checkpoint, args.out)
    saved = 1 - report.params_after / report.params_before
    print(
        f'{report.checkpoint}: {report.params_after / 1e6:.2f}M parameters '
        f'instead of {report.params_before / 1e6:.2f}M ({saved:.1%} fewer); '
        f'features agree to {report.difference:.1e}'
    )
    print(f'{report.config}: the config that goes with it')
    return 0
