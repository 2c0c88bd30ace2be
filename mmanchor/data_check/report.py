"""What a data check found."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from ..utils.progress import Track

MAX_EXAMPLES = 5
# A fault of single files ends a training before it starts if it concerns this
# part of them; fewer are skipped and counted.
MANY = 0.5

Item = TypeVar('Item')
Fact = TypeVar('Fact')


@dataclass
class Problem:
    """A fault of a data set.

    Args:
        code: Short name, the same for every data set.
        message: What is wrong and what would be right.
        count: How many files, boxes or names have it.
        examples: The first few of them.
        fatal: Whether a run would fail, or train or score something wrong.
    """

    code: str
    message: str
    count: int
    examples: list[str] = field(default_factory=list)
    fatal: bool = False

    def in_one_line(self) -> str:
        """Message, number and examples."""
        more = ', ...' if self.count > len(self.examples) > 0 else ''
        shown = f' ({"; ".join(self.examples[:3])}{more})' if self.examples else ''
        return f'{self.count} {self.message}{shown}' if self.examples else self.message


@dataclass
class SplitReport:
    """What was found in one data set.

    Args:
        splits: The splits that read it.
        dataset: Its class.
        places: The folders and files it reads.
        counts: Numbers of files, boxes and so on.
        per_class: For each class the number of images, and of boxes or the
            percentage of pixels; empty if unknown.
        problems: Faults; without any, the data set can be used.
        notes: Facts worth knowing that may be intended.
    """

    splits: list[str]
    dataset: str
    places: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self, code: str, message: str, found: Sequence[Any] | None = None, fatal: bool = False
    ) -> None:
        """Record a problem, unless there is none.

        Args:
            code: Short name.
            message: What is wrong and what would be right.
            found: The cases, whose number stands before the message; ``None``
                if the message is complete.
            fatal: Whether a run would fail, or train or score something wrong.
        """
        if found is None:
            self.problems.append(Problem(code, message, 1, fatal=fatal))
        elif len(found):
            shown = [str(each) for each in found[:MAX_EXAMPLES]]
            self.problems.append(Problem(code, message, len(found), shown, fatal))

    def add_files(
        self, code: str, message: str, found: Sequence[Any], total: int, unreadable: bool = True
    ) -> None:
        """Record a fault of single files.

        In training, a few files that cannot be read are skipped, so only many
        of them are fatal. A validation or a test ends at the first.

        Args:
            code: Short name.
            message: What is wrong and what would be right.
            found: The files.
            total: How many files were read.
            unreadable: Whether a run could not read these files.
        """
        many = len(found) >= max(1, MANY * total)
        self.add(code, message, found, fatal=many or (unreadable and self.splits[0] != 'train'))

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
