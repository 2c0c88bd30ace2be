"""``mmanchor predict``: predictions on a user's own images and videos."""

import argparse
import sys
from typing import Any

from .options import add_config_arguments, add_trust_argument, quiet_toolboxes

HELP = 'predict on images, folders, videos or a webcam'
EPILOG = """Segmentation writes overlays/NAME.png and masks/NAME.png, class indices
from 0 (test --out writes them from 1 where the data set has reduce_zero_label);
classification overlays/NAME.png and predictions.json (the five likeliest
classes of each file); detection overlays/NAME.png and two JSON files. Its
predictions.json is a COCO annotation file with the names of images and classes,
boxes and scores; the id of a category is its label, from 0. results.json holds
the same boxes as COCO's list of results:
COCO('predictions.json').loadRes('results.json') reads it. To score boxes, give
--ann-file FILE --score-thr 0: then both take the ids of FILE, and
COCO(FILE).loadRes('results.json') reads them. An image that cannot be read is
passed over, and the reason is said."""


class _Checkpoint(argparse.Action):
    """The weights; behind an exported file it is the first of the inputs."""

    inputs: argparse.Action

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Keep the word; an exported file asks for no further one."""
        from ..runtime.sessions import is_exported

        self.inputs.required = not is_exported(namespace.config)
        namespace.checkpoint = values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    add_config_arguments(parser)
    checkpoint: Any = parser.add_argument(
        'checkpoint',
        action=_Checkpoint,
        help="the weights; or 'latest' or 'best' of the config's work folder. An exported file, "
        'as in mmanchor predict model.onnx photos, needs neither config nor weights',
    )
    checkpoint.inputs = parser.add_argument(
        'input',
        nargs='+',
        default=[],
        help="an image, a folder, a pattern such as 'photos/*.jpg', a video, or a webcam by "
        'number; several are possible',
    )
    parser.add_argument(
        '--out-dir',
        default='predictions',
        help='folder for overlays, masks and boxes (default: %(default)s)',
    )
    parser.add_argument('--device', help='such as cuda:1 or cpu (default: a GPU if any)')
    parser.add_argument(
        '--overlays',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='write drawn images, or a drawn video (default: yes)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='images of equal size at once (default: %(default)s)',
    )
    parser.add_argument(
        '--tta', action='store_true', help="test-time augmentation, by the config's tta_pipeline"
    )
    parser.add_argument('--max-frames', type=int, help='stop a video or webcam after so many')
    add_trust_argument(parser)
    _add_task_options(parser)


def _add_task_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of one task only."""
    # Defaults are None: an option of another task is refused only if it was given.
    parser.add_argument(
        '--opacity', type=float, help='segmentation: opacity of the masks, 0 to 1 (default: 0.6)'
    )
    parser.add_argument(
        '--with-labels',
        action='store_true',
        default=None,
        help='segmentation: write class names into the regions',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        help='detection: boxes below this score are left out (default: 0.3)',
    )
    parser.add_argument(
        '--ann-file', help='detection: COCO annotation file of the images, whose ids the boxes get'
    )
    parser.add_argument(
        '--tile',
        type=int,
        metavar='PIXELS',
        help='detection: cut large images into tiles of this side and join their boxes; an object '
        'that no tile holds whole is found in parts at best',
    )
    parser.add_argument(
        '--overlap', type=float, help='detection: of neighboring tiles (default: 0.2 of a tile)'
    )
    parser.add_argument(
        '--exact',
        action=argparse.BooleanOptionalAction,
        help='segmentation by AnchorFormer: images of any size, at their own size and whole, in '
        'bands of rows that take little memory; writes masks/NAME.tif (default: for images that '
        'would not fit in memory)',
    )
    parser.add_argument(
        '--masks',
        action=argparse.BooleanOptionalAction,
        help='segmentation: write masks of class indices (default: for images)',
    )
    parser.add_argument(
        '--color-masks',
        action='store_true',
        default=None,
        help='segmentation: give the masks a palette; their values stay the same',
    )


def run(args: argparse.Namespace) -> int:
    """Predict and say where the results are.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ..inference.files import PredictOptions, predict_files
    from ..runtime.sessions import is_exported
    from ..utils.config import load_config, parse_options
    from .progress import track

    quiet_toolboxes()
    inputs, exported = args.input, is_exported(args.config)
    if exported:
        inputs = [args.checkpoint, *inputs]
        _refuse_options_of_configs(args)
    cfg = args.config if exported else load_config(args.config, parse_options(args.cfg_options))
    options = PredictOptions(
        opacity=args.opacity,
        with_labels=args.with_labels,
        score_thr=args.score_thr,
        overlays=args.overlays,
        masks=args.masks,
        color_masks=args.color_masks,
        batch_size=args.batch_size,
        max_frames=args.max_frames,
        ann_file=args.ann_file,
        exact=args.exact,
        tile=args.tile,
        overlap=args.overlap,
    )
    summary = predict_files(
        cfg,
        args.checkpoint,
        inputs[0] if len(inputs) == 1 else inputs,
        args.out_dir,
        args.device,
        options,
        track,
        args.trust_checkpoint,
        args.tta,
    )
    for file, reason in summary.skipped.items():
        print(f'passed over: {file}: {reason}', file=sys.stderr)
    for file, note in summary.notes.items():
        print(f'note: {file}: {note}', file=sys.stderr)
    if summary.unlisted:
        print(
            f'{len(summary.unlisted)} images are not listed in {args.ann_file}, so their boxes '
            f'are only drawn, such as {summary.unlisted[0]}',
            file=sys.stderr,
        )
    parts = [f'{summary.done} image{"s" * (summary.done != 1)}', summary.found]
    if summary.skipped:
        parts.append(f'{len(summary.skipped)} passed over')
    print(f'{", ".join(filter(None, parts))}: results in {summary.folder}')
    return 0


def _refuse_options_of_configs(args: argparse.Namespace) -> None:
    """An exported file has no config, and runs where it was opened."""
    from ..utils.errors import UserError

    for name in ('cfg_options', 'tta', 'device'):
        if getattr(args, name):
            raise UserError(
                f'--{name.replace("_", "-")} needs a config and a checkpoint, and {args.config} '
                'is an exported file'
            )
