"""``mmanchor benchmark papers``: the paper's tables, counted again."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = 'compare the costs that the paper reports with those counted here'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-command's options to ``parser``."""
    parser.add_argument(
        '--tables',
        type=int,
        nargs='+',
        default=[1, 2, 3, 4, 5],
        metavar='NUMBER',
        help='tables of the AnchorFormer paper: 1 (ImageNet), 2 (COCO), 3 '
        '(ADE20K), 4 and 5 (ablations); default: all',
    )


def run(args: argparse.Namespace) -> int:
    """Count, print the tables and write the files.

    Args:
        args: The parsed options.

    Returns:
        0, or 1 if no row could be counted.
    """
    from mmanchor.cli.measuring import write_and_print
    from mmanchor.cli.progress import track
    from mmanchor.utils.files import make_folder
    from tools.benchmarks.papers import check_tables, papers_figure, papers_table, run_papers

    quiet_toolboxes()
    check_tables(args.tables)
    make_folder(args.out_dir, '--out-dir')  # fails before the work, not after
    results = run_papers(args.tables, track)
    write_and_print(args.out_dir, 'papers', results, papers_table(results), papers_figure(results))
    return 0 if any('forms' in row for row in results['rows']) else 1
