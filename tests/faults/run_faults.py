"""Kill, fill, poison and misuse mmanchor, and count what survives.

Run by ``make faults`` and nightly; not part of the tests. Everything random
follows from ``--seed``. A case survives if it ends in time, without a
traceback, without losing a checkpoint and without running foreign code.
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'helpers'), str(Path(__file__).parent)]


GROUPS = ('files', 'weights', 'usage', 'words', 'data', 'images', 'disk', 'kills')
HEADINGS = (
    'group', 'what', 'tried', 'survived', 'lost', 'vague', 'seconds', 'ARGS', 'commit', 'machine',
)  # fmt: skip
# Where --table puts the table in a page.
MARKS = ('<!-- faults: begin -->', '<!-- faults: end -->')


@dataclass
class Row:
    """What came of one group."""

    group: str
    what: str
    tried: int = 0
    lost: int = 0
    vague: int = 0
    seconds: float = 0

    def as_line(self, *more: object) -> str:
        """A line of a Markdown table."""
        counts = (self.tried, self.tried - self.lost, self.lost, self.vague, round(self.seconds))
        return f'| {" | ".join(map(str, (self.group, self.what, *counts, *more)))} |'


def main() -> int:
    """Run the groups and print a table.

    Returns:
        1 if a case was lost, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('groups', nargs='*', help='names of groups (default: all)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--times', type=int, default=1, help='repeat random cases so many times')
    parser.add_argument('--verbose', action='store_true', help='name the cases that survive too')
    parser.add_argument('--table', type=Path, metavar='PAGE', help='also put the table into a page')
    args = parser.parse_args()
    groups = {name: importlib.import_module(f'fault_{name}') for name in GROUPS}
    unknown = set(args.groups) - groups.keys()
    if unknown:
        parser.error(f'there is no group {", ".join(unknown)}; choose of {", ".join(groups)}')
    if args.table and not all(mark in args.table.read_text(encoding='utf-8') for mark in MARKS):
        parser.error(f'{args.table} has no lines {" and ".join(MARKS)}')
    rows = []
    with tempfile.TemporaryDirectory(prefix='faults-') as folder:
        # What commands leave in the folder for temporary files goes with it.
        tempfile.tempdir = os.environ['TMPDIR'] = folder
        for name in args.groups or groups:
            work = Path(folder, name)
            work.mkdir()
            rows.append(_run(name, groups[name], work, args))
    print('', _table(rows, args), sep='\n')
    if args.table:
        page = args.table.read_text(encoding='utf-8')
        begin, end = (page.index(mark) for mark in MARKS)
        table = _table(rows, args, page[begin:end])
        text = f'{page[:begin]}{MARKS[0]}\n\n{table}\n\n{page[end:]}'
        args.table.write_text(text, encoding='utf-8')
    return int(any(row.lost for row in rows))


def _run(name: str, group: ModuleType, work: Path, args: argparse.Namespace) -> Row:
    """Try the cases of one group."""
    from fault_cases import VAGUE

    row, start = Row(name, group.__doc__.splitlines()[0].rstrip('.')), time.monotonic()
    for case in group.cases(work, args.seed, args.times):
        fault = case.fault()
        row.tried += 1
        if fault.startswith(VAGUE):
            row.vague += 1
            print(f'{name}: {case.name}: {fault}', flush=True)
        elif fault:
            row.lost += 1
            print(f'LOST {name}: {case.name}: {fault}', flush=True)
        elif args.verbose:
            print(f'ok   {name}: {case.name}', flush=True)
    row.seconds = time.monotonic() - start
    return row


def _table(rows: list[Row], args: argparse.Namespace, old: str = '') -> str:
    """The rows in the order of the groups; those of ``old`` that were not run stay."""
    from mmanchor.analysis.provenance import provenance

    where = provenance()
    lines = {line.split(' | ')[0][2:]: line for line in old.splitlines() if line.startswith('| ')}
    words = f'--seed {args.seed} --times {args.times}'
    place = (f'`{words}`', f'`{where["commit"]}`', f'{where["cores"]} x {where["processor"]}')
    lines.update((row.group, row.as_line(*place)) for row in rows)
    return '\n'.join(
        [
            f'| {" | ".join(HEADINGS)} |',
            '|---' * len(HEADINGS) + '|',
            *(lines[name] for name in GROUPS if name in lines),
        ]
    )


if __name__ == '__main__':
    sys.exit(main())
