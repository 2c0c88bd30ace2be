"""What became of every entry of a converted checkpoint."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class ConversionReport:
    """The entries of a file and the weights of a model, each named once.

    Args:
        converted: Name in the file -> name in the model.
        skipped: Name in the file -> why no model of ours has it.
        made: Names in the model that got a fixed value.
        adapted: Name in the model -> how its value was made from the file's,
            where it is not that value itself.
        unmatched: Names in the file that nothing took.
        missing: Names in the model that nothing in the file is for.
        mismatched: Name in the file -> how its array differs from what the
            model has under the name that goes with it.
    """

    converted: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether everything has found its place."""
        return not (self.unmatched or self.missing or self.mismatched)

    def problems(self) -> str:
        """What is not in its place: how many names, and the first of them.

        Example:
            >>> ConversionReport(unmatched=['a'], missing=['b']).problems()
            'left over in the file: 1 (a); missing for the model: 1 (b)'
        """
        wrong = [f'{name}: {how}' for name, how in self.mismatched.items()]
        parts = (
            ('left over in the file', self.unmatched),
            ('missing for the model', self.missing),
            ('not fitting', wrong),
        )
        return '; '.join(
            f'{title}: {len(names)} ({first_few(names)})' for title, names in parts if names
        )


def first_few(names: Iterable[str], count: int = 3) -> str:
    """The first names, separated by commas.

    Example:
        >>> first_few('abcde')
        'a, b, c, ...'
    """
    names = list(names)
    return ', '.join(names[:count]) + (', ...' if names[count:] else '')
