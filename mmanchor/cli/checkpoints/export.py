"""``mmanchor export``: a trained model as a file of other programs, checked against torch."""

import argparse
from typing import TYPE_CHECKING

from ..options import add_config_arguments, add_trust_argument, quiet_toolboxes

if TYPE_CHECKING:
    from ...export.model import ExportReport

HELP = 'export a trained model to ONNX, OpenVINO, ncnn or PyTorch programs, and check it'
EPILOG = """The model is fused for deployment, exported, run by the program that the file
is for and compared with torch on images: the numbers, and the boxes, labels or
classes that a user sees. Where they differ by more than the tolerance no file
is written. Classes, sizes, thresholds and versions are kept in the file and, as
JSON, beside it. mmanchor predict and mmanchor test take the file as a model."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='the trained weights')
    parser.add_argument('out', help='file to write, whose suffix chooses the format; or a folder')
    parser.add_argument(
        '--format',
        choices=('onnx', 'openvino', 'torchscript', 'pt2', 'ncnn', 'tensorrt-recipe', 'web'),
        help='.onnx, .xml (OpenVINO), .torchscript, .pt2 (torch.export), .param (ncnn); '
        'tensorrt-recipe writes .onnx and the commands that build an engine; web writes the folder '
        'of a page for browsers',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='height and width of the images, or one number for both (default: the test '
        "pipeline's)",
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
        default=None,
        help='take uint8 BGR images and normalize them inside (default: yes, except ncnn)',
    )
    parser.add_argument(
        '--opset', type=int, default=18, help='ONNX operator set, 18 or more (default: %(default)s)'
    )
    numbers = parser.add_mutually_exclusive_group()
    numbers.add_argument('--half', action='store_true', help='keep weights in float16')
    numbers.add_argument(
        '--int8',
        metavar='FOLDER',
        help='turn weights and activations into 8-bit integers, calibrated on images of FOLDER',
    )
    parser.add_argument(
        '--num-calibration',
        type=int,
        default=32,
        metavar='IMAGES',
        help='images of --int8 that are used (default: %(default)s)',
    )
    parser.add_argument(
        '--most-in-float',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='share of the operators that --int8 leaves in float at most, those that lose the '
        'most (default: %(default)s)',
    )
    parser.add_argument('--images', help='folder of images to check with (default: one photograph)')
    parser.add_argument(
        '--ort-web',
        metavar='FOLDER',
        help='of --format web: the npm package onnxruntime-web, node_modules/onnxruntime-web, to '
        'copy its program into the page (default: npm install onnxruntime-web in OUT brings it)',
    )
    add_trust_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and say how far the file agrees with torch.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ...export.model import export_model
    from ...utils.config import load_config, parse_options

    quiet_toolboxes()
    report = export_model(
        load_config(args.config, parse_options(args.cfg_options)),
        args.checkpoint,
        args.out,
        format=args.format,
        size=args.size and tuple(args.size * 2 if len(args.size) == 1 else args.size),
        dynamic=args.dynamic,
        results=args.results,
        uint8_input=args.uint8_input,
        opset=args.opset,
        half=args.half,
        int8=args.int8,
        num_calibration=args.num_calibration,
        most_in_float=args.most_in_float,
        images=args.images,
        ort_web=args.ort_web,
        trust_checkpoint=args.trust_checkpoint,
    )
    _print(report)
    return 0


def _print(report: 'ExportReport') -> None:
    """Say what was written and how far it agrees."""
    from ...export.formats import FORMATS
    from ...export.verify import UNITS

    checked, metadata = report.verification, report.metadata
    shapes = dict.fromkeys(' x '.join(map(str, shape)) for shape in checked.shapes)
    files = FORMATS[metadata['format']].files(report.path)
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    print(f'{report.path}: {megabytes:.1f} MB, gives {", ".join(metadata["outputs"])}')
    print(
        f'checked on {len(checked.shapes)} inputs of {", ".join(shapes)}: outputs differ from '
        f'torch by {checked.difference:.1e} of the largest (tolerance {checked.tolerance:.0e})'
    )
    if checked.compared:
        unit = UNITS[metadata['task']]
        print(f'{checked.agreement:.2%} of {checked.compared} {unit} are the same')
    if report.kept_in_float:
        print(f'{len(report.kept_in_float)} operators stay in float: they lose the most in INT8')
    if metadata['format'] != 'web':
        print(f'{report.path.with_suffix(".json")}: classes, sizes, thresholds, versions')
        return
    if not (report.path / 'ort').is_dir():
        print(f'once: npm install --prefix {report.path} onnxruntime-web')
    print(f'to see it: python -m http.server --directory {report.path}')
