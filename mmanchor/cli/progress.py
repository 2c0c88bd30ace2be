"""Progress bars of the commands."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)


def track(items: Iterable[Any], description: str, total: int | None = None) -> Iterable[Any]:
    """Yield ``items`` and show how many are done and how long it takes.

    The bar goes to stderr, so that a redirected stdout stays clean.

    Args:
        items: What to go through.
        description: Shown before the bar.
        total: Number of items; ``None`` shows a count only.
    """
    columns = (
        SpinnerColumn(),
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # A thread that draws would take its time from what is measured.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        yield from progress.track(items, total=total, description=description)
