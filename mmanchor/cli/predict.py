"""``mmanchor predict``: predictions on a user's own pictures."""

import argparse
import sys

from .options import add_config_arguments, add_trust_argument, quiet_toolboxes

HELP = 'predict on an image, a folder, a video or a webcam'
EPILOG = """Segmentation writes overlays/NAME.png and masks/NAME.png,
classification overlays/NAME.png and predictions.json (the five likeliest
classes of each file), detection overlays/NAME.png and two JSON files. Its
predictions.json is a COCO annotation
file with names of pictures and classes, boxes and scores; the id of a
category is its label, from 0. results.json holds the same boxes as COCO's
list of results: COCO('predictions.json').loadRes('results.json') reads it.
To score boxes, give --ann-file FILE --score-thr 0: then both take the ids of
FILE, and COCO(FILE).loadRes('results.json') reads them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='the weights')
    parser.add_argument('input', help='an image, a folder, a video, or a webcam by number')
    parser.add_argument(
        '--out-dir',
        default='predictions',
        help='folder for overlays, masks and boxes (default: %(default)s)',
    )
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if any)')
    parser.add_argument(
        '--opacity',
        type=float,
        default=0.6,
        help='segmentation: weight of the colours of masks (default: %(default)s)',
    )
    parser.add_argument(
        '--with-labels',
        action='store_true',
        help='segmentation: write class names into the regions',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='detection: boxes below this score are left out (default: %(default)s)',
    )
    parser.add_argument(
        '--ann-file',
        help='detection: COCO annotation file of the pictures, whose ids the boxes get',
    )
    parser.add_argument(
        '--overlays',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='write painted pictures, or a painted video',
    )
    parser.add_argument(
        '--masks',
        action=argparse.BooleanOptionalAction,
        help='segmentation: write masks of class indices (default: for pictures)',
    )
    parser.add_argument(
        '--color-masks',
        action='store_true',
        help='segmentation: give the masks a palette; their values stay the same',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='pictures of equal size at once (default: %(default)s)',
    )
    parser.add_argument('--max-frames', type=int, help='stop a video or webcam after so many')
    add_trust_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Predict and say where the results are.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ..inference.predict import PredictOptions, predict_files
    from ..utils.config import load_config, parse_options
    from .progress import track

    quiet_toolboxes()
    cfg = load_config(args.config, parse_options(args.cfg_options))
    options = PredictOptions(
        args.opacity,
        args.with_labels,
        args.score_thr,
        args.overlays,
        args.masks,
        args.color_masks,
        args.batch_size,
        args.max_frames,
        args.ann_file,
    )
    summary = predict_files(
        cfg,
        args.checkpoint,
        args.input,
        args.out_dir,
        args.device,
        options,
        track,
        args.trust_checkpoint,
    )
    for file in summary.unreadable:
        print(f'not readable, passed over: {file}', file=sys.stderr)
    if summary.unlisted:
        print(
            f'{len(summary.unlisted)} pictures are not listed in '
            f'{args.ann_file}, so their boxes are only drawn, such as '
            f'{summary.unlisted[0]}',
            file=sys.stderr,
        )
    skipped = f', {len(summary.unreadable)} not readable' if summary.unreadable else ''
    print(f'{summary.done} predictions in {summary.folder}{skipped}')
    return 0
