"""Run a function right after a module is first imported.

``import mmanchor`` must stay quick, so the repairs of MMEngine wait until
MMEngine's own modules are imported instead of importing them early.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], None]


class _ThenLoader(Loader):
    """A module's own loader, with actions after it has run."""

    def __init__(self, loader: Any, actions: Sequence[Action]) -> None:
        self.loader = loader
        self.actions = actions

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its own loader, for inspect and for reloading.
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        for action in self.actions:
            action(module)


class AfterImportFinder(MetaPathFinder):
    """Wraps the loaders of the modules it has actions for."""

    def __init__(self) -> None:
        self.actions: dict[str, list[Action]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object | None = None
    ) -> ModuleSpec | None:
        """The module's spec as the other finders give it, loader wrapped."""
        if fullname not in self.actions:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenLoader(spec.loader, self.actions[fullname])
        return spec


_FINDER = AfterImportFinder()


def after_import(name: str, action: Action) -> None:
    """Call ``action(module)`` once ``name`` is imported, or now if it is.

    Args:
        name: Full module name.
        action: Takes the module; called each time it is executed, in the
            order of the calls. The same one twice counts once.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    actions = _FINDER.actions.setdefault(name, [])
    if action in actions:
        return
    actions.append(action)
    if name in sys.modules:
        action(sys.modules[name])
