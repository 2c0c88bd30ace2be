"""What a data check found, and how its files are read."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from PIL import Image

from ..utils.progress import Track

MAX_EXAMPLES = 5

Item = TypeVar('Item')
Fact = TypeVar('Fact')


@dataclass
class Problem:
    """One kind of fault of a data set.

    Args:
        code: Short name, the same for every data set.
        message: What is wrong and what would be right.
        count: How many files, boxes or names it concerns.
        examples: The first few of them.
    """

    code: str
    message: str
    count: int
    examples: list[str] = field(default_factory=list)


@dataclass
class SplitReport:
    """What was found in one data set.

    Args:
        splits: The splits that read it.
        dataset: Its class.
        places: The folders and files it reads.
        counts: Numbers of files, boxes and so on.
        problems: Faults; none means that it can be used.
        notes: Facts that are worth knowing and may be intended.
    """

    splits: list[str]
    dataset: str
    places: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, code: str, message: str, found: Any, examples: Sequence[Any] = ()) -> None:
        """Record a problem, unless there is none.

        Args:
            code: Short name.
            message: What is wrong and what would be right.
            found: The number of cases, or a list of them.
            examples: Cases to show, where ``found`` is a number.
        """
        if not isinstance(found, int):
            found, examples = len(found), found
        if found:
            shown = [str(each) for each in list(examples)[:MAX_EXAMPLES]]
            self.problems.append(Problem(code, message, found, shown))

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON."""
        return asdict(self)


def spread(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """At most ``limit`` items, evenly spread; all if it is ``None``.

    Example:
        >>> spread([0, 1, 2, 3, 4, 5], 3)
        [0, 2, 4]
    """
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def read_all(
    read: Callable[[Item], Fact], items: Sequence[Item], track: Track, description: str
) -> list[Fact]:
    """Call ``read`` on every item in a few threads, in order.

    Decoding releases Python's lock, so threads are enough.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        facts = pool.map(read, items)
        return list(track(facts, description, len(items)))


def picture_error(path: str, size: list[int]) -> str | None:
    """Decode a picture and say what hinders it.

    Args:
        path: The file.
        size: Receives width and height (pixels) if the header is readable.

    Returns:
        The reason why it cannot be read, ``None`` if it can.
    """
    try:
        with Image.open(path) as picture:
            size[:] = picture.size
            # JPEG may decode at an eighth of its size: faster, and still
            # through every byte of the file.
            picture.draft('RGB', (picture.width // 8, picture.height // 8))
            picture.load()
    # Pillow raises what its many decoders raise, SyntaxError included.
    except Exception as error:
        return f'{type(error).__name__}: {error}'
    return None
