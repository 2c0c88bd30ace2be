"""One module for each benchmark command."""

from collections.abc import Sequence

from mmanchor.utils.errors import UserError


def at_least(least: int, **values: int | Sequence[int]) -> None:
    """Refuse numbers that are too small.

    Args:
        least: The smallest number allowed.
        **values: Numbers by the name of their option, with ``_`` for ``-``.

    Raises:
        UserError: If one is below ``least``.
    """
    for name, value in values.items():
        numbers = [value] if isinstance(value, int) else value
        if any(number < least for number in numbers):
            given = ' '.join(map(str, numbers))
            raise UserError(f'--{name.replace("_", "-")} must be at least {least}, got {given}')
