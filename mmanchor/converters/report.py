"""What happened to each entry of a converted checkpoint."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class ConversionReport:
    """Entries of the file and weights of the model, by what happened to them.

    Args:
        converted: Name in the file -> name in the model.
        skipped: Name in the file -> why it is not used.
        made: Names in the model with a fixed initial value.
        adapted: Name in the model -> how its value was computed from the
            file, if it is not the value in the file.
        unmatched: Names in the file without a counterpart in the model.
        missing: Names in the model without a counterpart in the file.
        mismatched: Name in the file -> how its array differs from its
            counterpart in the model.
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
        """Whether all entries and weights have a counterpart that fits."""
        return not (self.unmatched or self.missing or self.mismatched)

    def problems(self) -> str:
        """Summarize what does not fit: numbers of names, and the first names.

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
