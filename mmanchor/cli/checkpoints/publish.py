"""``mmanchor publish``: the weights of a checkpoint, to give away."""

import argparse

from ..options import add_trust_argument, quiet_toolboxes

HELP = 'publish a checkpoint: the weights alone, with their hash in the name'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.add_argument('checkpoint', help='the checkpoint of a training run')
    parser.add_argument(
        'out',
        help='NAME.pth or NAME.safetensors; the file written is NAME-xxxxxxxx with that '
        'suffix, x being the first digits of its SHA-256',
    )
    add_trust_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Publish, and name the file.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ...compat.trust import trust_checkpoint
    from ...engine.publishing import publish_checkpoint

    quiet_toolboxes()
    if args.trust_checkpoint:
        trust_checkpoint(args.checkpoint)
    path = publish_checkpoint(args.checkpoint, args.out)
    print(f'{path}: {path.stat().st_size / 1e6:.1f} MB of weights of {args.checkpoint}')
    return 0
