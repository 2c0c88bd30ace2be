"""``mmanchor export``: a trained model as one ONNX file, checked against torch."""

import argparse
import importlib.util

from ..options import add_config_arguments, add_trust_argument, quiet_toolboxes

HELP = 'export a trained model to ONNX, with its preprocessing and postprocessing, and check it'
EPILOG = """The model is fused for deployment, exported by torch, run in ONNX Runtime
on images and compared with torch: the numbers, and the boxes, labels or classes
that a user sees. Where they differ by more than the tolerance no file is
written. Classes, sizes, thresholds and versions are kept in the file and, as
JSON, beside it."""
_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='the trained weights')
    parser.add_argument('out', help='file to write, .onnx')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="size of the images in pixels (default: the test pipeline's)",
    )
    parser.add_argument(
        '--dynamic',
        choices=('batch', 'hw'),
        help='leave the number of images open, or also their height and width',
    )
    parser.add_argument(
        '--with',
        dest='results',
        choices=('raw', 'decode', 'nms', 'logits', 'labels'),
        help='what the file computes. Detection: boxes after NMS (nms, the default), all boxes '
        'and scores without NMS or TopK (decode), or the maps of the head (raw, for all '
        'detectors). Segmentation: labels (the default) or logits at the size of the image',
    )
    parser.add_argument(
        '--uint8-input',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='take uint8 BGR images and normalize them inside (default: yes)',
    )
    parser.add_argument(
        '--opset', type=int, default=18, help='ONNX operator set, 18 or more (default: %(default)s)'
    )
    parser.add_argument('--images', help='folder of images to check with (default: one photograph)')
    add_trust_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and say how far the file agrees with torch.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ...utils.errors import UserError

    missing = [name for name in _PACKAGES if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(f"export needs {', '.join(missing)}: run pip install 'mmanchor[onnx]'")
    from ...export.model import export_model
    from ...export.verify import UNITS
    from ...utils.config import load_config, parse_options

    quiet_toolboxes()
    report = export_model(
        load_config(args.config, parse_options(args.cfg_options)),
        args.checkpoint,
        args.out,
        size=args.size and tuple(args.size),
        dynamic=args.dynamic,
        results=args.results,
        uint8_input=args.uint8_input,
        opset=args.opset,
        images=args.images,
        trust_checkpoint=args.trust_checkpoint,
    )
    checked, metadata = report.verification, report.metadata
    sizes = ', '.join(' x '.join(map(str, shape)) for shape in checked.shapes)
    megabytes = report.path.stat().st_size / 1e6
    print(f'{report.path}: {megabytes:.1f} MB, gives {", ".join(metadata["outputs"])}')
    print(
        f'checked in ONNX Runtime on {sizes}: outputs differ from torch by '
        f'{checked.difference:.1e} of the largest (tolerance {checked.tolerance:.0e})'
    )
    if checked.compared:
        unit = UNITS[metadata['task']]
        print(f'{checked.agreement:.2%} of {checked.compared} {unit} are the same')
    print(f'{report.path.with_suffix(".json")}: classes, sizes, thresholds, versions')
    return 0
