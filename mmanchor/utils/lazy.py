"""Names of a package that are imported when they are first used (PEP 562)."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Module functions ``__getattr__`` and ``__dir__`` for a package.

    Args:
        package: Its ``__name__``.
        modules: Public name -> the module that holds it, relative to the
            package, such as ``'.models'``.

    Returns:
        ``(__getattr__, __dir__)``.

    Example:
        >>> get, names = lazy_names('mmanchor', {'UserError': '.utils.errors'})
        >>> names()
        ['UserError']
        >>> get('UserError').__module__
        'mmanchor.utils.errors'
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        return getattr(import_module(modules[name], package), name)

    def names() -> list[str]:
        return sorted(modules)

    return get, names
