"""``mmanchor web``: try models in the browser."""

import argparse

from .options import add_cfg_options, add_trust_argument, quiet_toolboxes

HELP = 'try models on your own images in the browser'
EPILOG = """The page is for this machine alone: it listens at 127.0.0.1, shares nothing and keeps
uploads and results in a temporary folder that goes when the command ends (Ctrl+C). It needs
the extra web: pip install 'mmanchor[web]'."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    parser.add_argument(
        'models',
        nargs='+',
        metavar='CONFIG CHECKPOINT',
        help='a config, by path or name, and its weights; several pairs are compared',
    )
    add_cfg_options(parser)
    parser.add_argument('--explain', action='store_true', help='also show anchor maps and Grad-CAM')
    parser.add_argument('--port', type=int, help='port of the page (default: a free one from 7860)')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at; at any other than the default, everybody who reaches this '
        'machine can use the page (default: %(default)s)',
    )
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if any)')
    for name, number, what in (
        ('megabytes', 20, 'of an upload'),
        ('megapixels', 25, 'of an image'),
        ('frames', 300, 'of a video that are shown'),
    ):
        parser.add_argument(
            f'--max-{name}', type=int, default=number, help=f'{name} {what} (default: %(default)s)'
        )
    add_trust_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl+C.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ..explanation.files import sheet_names
    from ..inference import load
    from ..utils.config import parse_options
    from ..utils.errors import UserError
    from ..web.page import require_address, serve
    from ..web.uploads import Limits

    quiet_toolboxes()
    configs, checkpoints = args.models[::2], args.models[1::2]
    if len(configs) != len(checkpoints):
        raise UserError(f'mmanchor web takes CONFIG CHECKPOINT pairs; {configs[-1]} has no second')
    limits = Limits(args.max_megabytes, args.max_megapixels, args.max_frames)
    require_address(args.host, args.port)
    models = {
        name: load(
            config,
            checkpoint,
            args.device,
            cfg_options=parse_options(args.cfg_options),
            trust_checkpoint=args.trust_checkpoint,
        )
        for name, config, checkpoint in zip(sheet_names(configs), configs, checkpoints, strict=True)
    }
    serve(models, args.explain, args.host, args.port, limits)
    return 0
