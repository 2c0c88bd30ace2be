"""``mmanchor benchmark papers``: the paper's tables rebuilt."""

import argparse

from mmanchor.cli.options import quiet_toolboxes

HELP = 'set the costs that the paper reports beside those counted here'


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
    """Count, print the tables, and say where the results are.

    Args:
        args: The parsed options.

    Returns:
        0, also if a row could not be counted; 1 if none could.
    """
    from pathlib import Path

    from mmanchor.analysis.report import write_results
    from mmanchor.cli.progress import track
    from mmanchor.utils.files import make_folder
    from tools.benchmarks.papers import check_tables, papers_figure, papers_table, run_papers

    quiet_toolboxes()
    check_tables(args.tables)
    make_folder(args.out_dir, '--out-dir')
    results = run_papers(args.tables, track)
    table = papers_table(results)
    print(table)
    for path in write_results(Path(args.out_dir), 'papers', results, table, papers_figure(results)):
        print(f'written to {path}')
    return 0 if any('forms' in row for row in results['rows']) else 1
