"""``mmanchor report``: pages from what tests saved."""

import argparse

HELP = 'write a page on what a model gets right and wrong, or on two models side by side'
EPILOG = """REPORT is a folder of `mmanchor test CONFIG CHECKPOINT --report REPORT`. One is written
again; two are compared: scores by class with bootstrap intervals over the images, and the images
that changed most. Boxes of other programs are read by --predictions and --ann."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to ``parser``."""
    parser.epilog = EPILOG
    parser.add_argument('reports', nargs='*', metavar='REPORT', help='one report, or two, A and B')
    parser.add_argument(
        '--predictions',
        metavar='FILE',
        help="in place of a report: boxes in COCO's format of results, such as the NAME.bbox.json "
        'of CocoMetric',
    )
    parser.add_argument('--ann', metavar='FILE', help='with --predictions: the truth, COCO format')
    parser.add_argument(
        '--images',
        default='',
        metavar='FOLDER',
        help='folder of the image files, where their names are relative',
    )
    parser.add_argument(
        '--out-dir',
        help='folder for index.html (default: the report; comparison, where two are compared)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='detection: lowest score of boxes that are drawn and counted in the confusion matrix '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--num-images',
        type=int,
        default=20,
        metavar='N',
        help='how many of the best, and of the worst, images are shown (default: %(default)s)',
    )
    parser.add_argument(
        '--resamples',
        type=int,
        default=500,
        metavar='N',
        help='two reports: bootstrap samples of the intervals (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it is.

    Args:
        args: The parsed options.

    Returns:
        0; what cannot be done raises ``UserError``.
    """
    from ..reports import compare_reports, load_record, record_of_coco, write_report
    from ..utils.errors import UserError

    from_files = bool(args.predictions)
    if from_files == bool(args.reports) or len(args.reports) > 2:
        raise UserError('give one REPORT, two, or --predictions FILE --ann FILE')
    if from_files != bool(args.ann):
        raise UserError('--predictions and --ann go together')
    for name, least in (('num_images', 0), ('resamples', 1)):
        if getattr(args, name) < least:
            option = name.replace('_', '-')
            raise UserError(f'--{option} must be at least {least}, got {getattr(args, name)}')
    options = (args.score_thr, args.num_images)
    if len(args.reports) == 2:
        out = args.out_dir or 'comparison'
        page = compare_reports(*args.reports, out, *options, args.resamples, args.images)
    elif from_files:
        if not args.out_dir:
            raise UserError('--predictions needs --out-dir, the folder for the report')
        record = record_of_coco(args.predictions, args.ann, args.images)
        page = write_report(record, args.out_dir, *options)
    else:
        record = load_record(args.reports[0])
        page = write_report(record, args.out_dir or args.reports[0], *options, args.images)
    print(f'the report is {page}')
    return 0
