"""How long work reports its progress: through a function that it is given."""

from collections.abc import Iterable
from typing import Any, Protocol


class Track(Protocol):
    """Yields items, and may show how many are done.

    The commands give :func:`mmanchor.cli.progress.track`.
    """

    def __call__(
        self, items: Iterable[Any], description: str, total: int | None = None
    ) -> Iterable[Any]: ...


def silently(items: Iterable[Any], description: str, total: int | None = None) -> Iterable[Any]:
    """Go through ``items`` without showing anything.

    Args:
        items: What to go through.
        description: What is done with them.
        total: Number of items, if ``items`` does not know it.

    Example:
        >>> list(silently([1, 2], 'counting'))
        [1, 2]
    """
    return items
