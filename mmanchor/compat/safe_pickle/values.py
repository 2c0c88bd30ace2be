"""From what was unpickled to real values, with bounds on nesting and sharing."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from .table import SCALARS, Call, Pending, PendingHistoryBuffer, PendingNamespace, RefusedError

DEEPEST = 100
# Values in a small file, each counted as often as it is reached.
MOST_VALUES = 1_000_000


class Finisher:
    """Puts the real objects where pending ones are.

    Args:
        most_values: Limit of all values, each counted as often as reached.
        is_leaf: Whether a value that holds no others may stay.
    """

    def __init__(self, most_values: int, is_leaf: Callable[[Any], bool]) -> None:
        self.most_values = max(MOST_VALUES, most_values)
        self.is_leaf = is_leaf
        # By identity: before (held, as a freed one's identity is given to
        # another), after, and the number of values.
        self._done: dict[int, tuple[Any, Any, int]] = {}
        self._depth = 0
        self._copied = 0

    def __call__(self, value: Any) -> Any:
        """The real value.

        Raises:
            RefusedError: If a value is of a type that is not allowed, or
                nesting or sharing goes too far.
        """
        return self._finish(value)[0]

    def _finish(self, value: Any) -> tuple[Any, int]:
        if type(value) in SCALARS:
            return value, 1
        if id(value) in self._done:
            _, new, count = self._done[id(value)]
            if new is self:
                raise RefusedError('a list or dict that holds itself')
            return new, count
        self._done[id(value)] = (value, self, 0)
        self._depth += 1
        if self._depth > DEEPEST:
            raise RefusedError(f'to nest lists and dicts in more than {DEEPEST} levels')
        new, count = self._finish_new(value)
        self._depth -= 1
        if count > self.most_values:
            raise RefusedError('to hold the same values over and over')
        self._done[id(value)] = (value, new, count)
        return new, count

    def _finish_new(self, value: Any) -> tuple[Any, int]:
        if type(value) is PendingNamespace:
            value.state, count = self._finish(value.state or {})
            return value.real(), count
        if isinstance(value, PendingHistoryBuffer):
            # Buffers copy their arrays, and many may name the same ones.
            self._copied += sum(each.size for each in value.arrays())
            if self._copied > self.most_values:
                raise RefusedError('to hold the same values over and over')
        if isinstance(value, Pending):
            value = value.real()
        if type(value) in (list, tuple):
            found = [self._finish(item) for item in value]
            items = [item for item, _ in found]
            if type(value) is list:
                value[:] = items
            return value if type(value) is list else tuple(items), 1 + sum(n for _, n in found)
        if type(value) in (dict, OrderedDict, Counter):
            count = 1
            for key, item in value.items():
                value[key], number = self._finish(item)
                count += number
            if hasattr(value, '_metadata'):
                value._metadata, number = self._finish(value._metadata)
                count += number
            return value, count
        return self._leaf(value), 1

    def _leaf(self, value: Any) -> Any:
        if type(value) is Call or not self.is_leaf(value):
            what = 'a class or function' if type(value) is Call else f'a {type(value).__name__}'
            raise RefusedError(f'{what} as a value')
        return value
