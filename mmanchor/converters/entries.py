"""The entries of a file, transformed before they are renamed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Entries:
    """Entries of a foreign state dict, and how they were transformed.

    Args:
        values: Values to rename, under the names in the file.
        added: Name in the model -> a weight that no single entry is for.
        adapted: Name in the model -> how its value was computed, if it is not
            the one in the file.
        dropped: Name in the file -> why it is left out.
    """

    values: dict[str, Any]
    added: dict[str, Tensor] = field(default_factory=dict)
    adapted: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Mapping[str, Any]) -> 'Entries':
        """All entries of a file, not transformed yet."""
        return cls(dict(source))

    def change(self, name: str, value: Any, ours: str, how: str) -> None:
        """Replace the value of an entry.

        Args:
            name: Its name in the file.
            value: The new value.
            ours: Its name in the model.
            how: How the new value was computed.
        """
        self.values[name] = value
        self.adapted[ours] = how

    def add(self, ours: str, value: Tensor, how: str) -> None:
        """Add a weight of the model that no single entry is for."""
        self.added[ours] = value
        self.adapted[ours] = how

    def drop(self, name: str, why: str) -> None:
        """Leave an entry out."""
        del self.values[name]
        self.dropped[name] = why
