"""``mmanchor doctor``: what is installed, and what to do where it is broken.

It has to run where everything else fails, so it imports nothing of the stack.
"""

import argparse

HELP = 'print versions and known-bad combinations, each with its cure'

COLORS = {'ok': 'green', 'warning': 'yellow', 'broken': 'bold red'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> int:
    """Make the checks and print them.

    Returns:
        1 if something that is needed is broken, else 0.
    """
    from rich.console import Console

    from ..compat import doctor

    console = Console()
    findings: list[doctor.Finding] = []
    with console.status('looking around') as status:
        for name, check in doctor.CHECKS:
            status.update(f'looking at {name}')
            findings += check()
    console.print(_table(findings))
    counts = doctor.summarize(findings)
    if counts[doctor.BROKEN]:
        console.print(
            f'{counts[doctor.BROKEN]} broken: see the cures above; '
            'the first one often mends the others'
        )
        return 1
    console.print(
        'mmanchor can work here'
        + (f' ({counts[doctor.WARNING]} to look at)' if counts[doctor.WARNING] else '')
    )
    return 0


def _table(findings: list) -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in ('what', 'state', 'found'):
        table.add_column(heading, overflow='fold')
    for item in findings:
        # Text from packages may hold brackets, which rich takes for styles.
        value = escape(item.value)
        if item.cure:
            value += f'\n[bold]cure:[/] {escape(item.cure)}'
        table.add_row(item.name, f'[{COLORS[item.status]}]{item.status}[/]', value)
    return table
