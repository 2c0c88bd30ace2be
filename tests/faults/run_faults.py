"""Kill, fill, poison and misuse mmanchor, and count what survives.

Run by ``make faults`` and nightly; not part of the tests. Everything random
follows from ``--seed``. A case survives if it ends in time, without a
traceback, without losing a checkpoint and without running foreign code.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests' / 'helpers'), str(Path(__file__).parent)]


def main() -> int:
    """Run the groups and print a table.

    Returns:
        1 if a case was lost, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('groups', nargs='*', help='names of groups (default: all)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--times', type=int, default=1, help='repeat random cases so many times')
    parser.add_argument('--verbose', action='store_true', help='show the message of each case')
    args = parser.parse_args()

    import fault_data
    import fault_disk
    import fault_files
    import fault_kills
    import fault_usage
    import fault_words
    from fault_cases import VAGUE

    modules = (fault_files, fault_usage, fault_data, fault_disk, fault_kills, fault_words)
    groups = {module.__name__.removeprefix('fault_'): module for module in modules}
    unknown = set(args.groups) - groups.keys()
    if unknown:
        parser.error(f'there is no group {", ".join(unknown)}; choose of {", ".join(groups)}')
    rows, lost = [], []
    with tempfile.TemporaryDirectory(prefix='faults-') as folder:
        for name in args.groups or groups:
            work = Path(folder, name)
            work.mkdir()
            start, tried, vague = time.monotonic(), 0, 0
            for case in groups[name].cases(work, args.seed, args.times):
                fault = case.fault()
                tried += 1
                if fault.startswith(VAGUE):
                    vague += 1
                    print(f'{name}: {case.name}: {fault}', flush=True)
                elif fault:
                    lost.append(f'{name}: {case.name}: {fault}')
                    print(f'LOST {lost[-1]}', flush=True)
                elif args.verbose:
                    print(f'ok   {name}: {case.name}', flush=True)
            failed = sum(each.startswith(f'{name}: ') for each in lost)
            rows.append((name, tried, tried - failed, failed, vague, time.monotonic() - start))
    print(f'\nseed {args.seed}\n')
    print('| group | tried | survived | lost | survived with a vague message | seconds |')
    print('|---|---|---|---|---|---|')
    for name, *numbers, seconds in rows:
        print(f'| {name} | {" | ".join(map(str, numbers))} | {seconds:.0f} |')
    return bool(lost)


if __name__ == '__main__':
    sys.exit(main())
