"""``mmanchor explain``: what a model looks at, as images."""

import argparse
import sys

from .options import add_config_arguments, add_trust_argument, quiet_toolboxes

HELP = 'show what a model looks at: anchor maps, Grad-CAM, models side by side'
EPILOG = """Writes one sheet for each image, NAME.png. Models with anchors are explained by
what each anchor gathers, others by Grad-CAM; --method chooses. Layers, heads, boxes
and classes count from 0. With --compare all images and models are in one sheet,
comparison.png. Grad-CAM needs the extra explain: pip install 'mmanchor[explain]'."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    add_config_arguments(parser)
    parser.add_argument(
        'checkpoint', help="the weights; or 'latest' or 'best' of the config's work folder"
    )
    parser.add_argument(
        'input', nargs='+', help="an image, a folder or a pattern such as 'photos/*.jpg'"
    )
    parser.add_argument(
        '--out-dir', default='explanations', help='folder for the sheets (default: %(default)s)'
    )
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if any)')
    parser.add_argument(
        '--method',
        help='anchors, gradcam, gradcam++, hirescam, layercam, xgradcam, eigengradcam or eigencam '
        '(default: anchors if the model has any, else gradcam for classifiers, hirescam for '
        'detectors and segmentors)',
    )
    parser.add_argument(
        '--compare',
        nargs=2,
        action='append',
        default=[],
        metavar=('CONFIG', 'CHECKPOINT'),
        help='another model for the same sheet; may be given several times',
    )
    add_trust_argument(parser)
    _add_anchor_options(parser)
    _add_cam_options(parser)


def _add_anchor_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('anchor maps')
    group.add_argument(
        '--layers',
        nargs='+',
        type=int,
        metavar='N',
        help='layers to show; -1 is the last (default: the first, the middle and the last)',
    )
    group.add_argument(
        '--head',
        type=int,
        metavar='N',
        help='head to show (default: in each layer the one that divides the image most clearly)',
    )
    group.add_argument(
        '--at',
        nargs=2,
        type=float,
        metavar=('X', 'Y'),
        help='a pixel: show which parts of the image flow into the output there',
    )
    group.add_argument(
        '--anchors',
        type=int,
        default=4,
        metavar='N',
        help='number of anchors to show, the strongest (default: %(default)s)',
    )


def _add_cam_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('Grad-CAM')
    group.add_argument(
        '--class',
        dest='class_name',
        metavar='CLASS',
        help='name or index of the class to explain (default: the predicted one)',
    )
    group.add_argument(
        '--box', type=int, metavar='N', help='detection: rank of the box (default: 0, the best)'
    )
    group.add_argument(
        '--region',
        nargs=4,
        type=float,
        metavar=('LEFT', 'TOP', 'RIGHT', 'BOTTOM'),
        help='segmentation: the part of the image to explain, in pixels (default: all)',
    )
    group.add_argument(
        '--target-layer',
        metavar='NAME',
        help='layer to look at, such as backbone.layer4 (default: the first norm of the last '
        'transformer block, or the last map of a convolutional backbone)',
    )


def run(args: argparse.Namespace) -> int:
    """Explain and say where the sheets are.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ..explanation.files import explain_files, sheet_names
    from ..inference import load
    from ..utils.config import parse_options
    from .progress import track

    quiet_toolboxes()
    pairs = [(args.config, args.checkpoint), *args.compare]
    options = parse_options(args.cfg_options)
    models = {
        name: load(
            config,
            checkpoint,
            args.device,
            cfg_options=options if index == 0 else None,
            trust_checkpoint=args.trust_checkpoint,
        )
        for index, (name, (config, checkpoint)) in enumerate(
            zip(sheet_names([config for config, _ in pairs]), pairs, strict=True)
        )
    }
    summary = explain_files(
        models,
        args.input[0] if len(args.input) == 1 else args.input,
        args.out_dir,
        dict(
            method=args.method,
            layers=args.layers,
            head=args.head,
            at=None if args.at is None else tuple(args.at),
            num_maps=args.anchors,
            class_name=args.class_name,
            box=args.box,
            region=None if args.region is None else tuple(args.region),
            target_layer=args.target_layer,
        ),
        track,
    )
    for file, reason in summary.skipped.items():
        print(f'passed over: {file}: {reason}', file=sys.stderr)
    count = len(summary.files)
    print(f'{count} sheet{"s" * (count != 1)} in {summary.folder}')
    return 0
