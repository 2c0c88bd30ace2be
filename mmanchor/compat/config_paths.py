"""Configs inherit ``mmanchor::...`` however the package is installed.

MMEngine resolves ``_base_ = 'package::config'`` for the packages of its own
table only. It looks below the distribution's location, where an editable
install has no files, and marks what it finds with the package as registry
scope; our configs are written in the scope that their ``default_scope`` names.
"""

from types import ModuleType

from ..utils.config_files import PREFIX, config_path
from .after_import import after_import


def teach(module: ModuleType) -> None:
    """Let ``Config.fromfile`` know the prefix.

    Args:
        module: ``mmengine.config.config``.
    """
    original = module.Config._get_cfg_path

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(PREFIX):
            return config_path(cfg_path), None
        return original(cfg_path, filename)

    module.Config._get_cfg_path = staticmethod(get_cfg_path)


def install() -> None:
    """Make the repair as soon as MMEngine's configs are imported."""
    after_import('mmengine.config.config', teach)
