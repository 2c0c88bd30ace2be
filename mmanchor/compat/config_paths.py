"""Configs inherit ``mmanchor::...`` however the package is installed.

MMEngine resolves ``_base_ = 'package::config'`` for the packages of its own
table only. It looks below the distribution's location, where an editable
install has no files, and marks what it finds with the package as registry
scope; our configs are written in the scope that their ``default_scope`` names.
"""
from pathlib import Path
from types import ModuleType
from typing import Optional, Tuple

from .after_import import after_import

PREFIX = 'mmanchor::'
# In a checkout .mim/configs is a link to configs/; a wheel carries the files.
CONFIG_ROOT = Path(__file__).resolve().parents[1] / '.mim' / 'configs'


def config_path(reference: str) -> str:
    """File that a reference such as ``mmanchor::upernet/name.py`` names.

    Args:
        reference: ``mmanchor::`` and a path below ``configs/``.

    Returns:
        The absolute path.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    path = CONFIG_ROOT / reference[len(PREFIX):]
    if not path.is_file():
        raise FileNotFoundError(
            f'_base_ names {reference!r}, but there is no file {path}; '
            f'what follows {PREFIX!r} is a path below {CONFIG_ROOT}')
    return str(path)


def teach(module: ModuleType) -> None:
    """Let ``Config.fromfile`` know the prefix.

    Args:
        module: ``mmengine.config.config``.
    """
    original = module.Config._get_cfg_path

    def get_cfg_path(cfg_path: str,
                     filename: str) -> Tuple[str, Optional[str]]:
        if cfg_path.startswith(PREFIX):
            return config_path(cfg_path), None
        return original(cfg_path, filename)

    module.Config._get_cfg_path = staticmethod(get_cfg_path)


def install() -> None:
    """Make the repair as soon as MMEngine's configs are imported."""
    after_import('mmengine.config.config', teach)
