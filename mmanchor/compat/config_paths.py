"""Configs inherit ``mmanchor::...`` however the package is installed.

MMEngine resolves ``_base_ = 'package::config'`` for the packages of its own
table only. It looks below the distribution's location, where an editable
install has no files, and marks what it finds with the package as registry
scope; our configs are written in the scope that their ``default_scope`` names.
"""

from pathlib import Path
from types import ModuleType

from .after_import import after_import
from .errors import UserError

PREFIX = 'mmanchor::'
PACKAGE = Path(__file__).resolve().parents[1]


def config_root() -> Path:
    """The folder of configs: the wheel's, or the checkout's.

    Raises:
        UserError: If there is none.
    """
    # In a checkout .mim/configs is a link, which not every system can make.
    for root in (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs'):
        if root.is_dir():
            return root
    raise UserError(
        f'the package at {PACKAGE} carries no configs; reinstall '
        'it, or give the path of a config file'
    )


def config_path(reference: str) -> str:
    """File that a reference such as ``mmanchor::upernet/name.py`` names.

    Args:
        reference: ``mmanchor::`` and a path below ``configs/``.

    Returns:
        The absolute path.

    Raises:
        FileNotFoundError: If there is no such config.
        UserError: If the package carries no configs.
    """
    root = config_root()
    path = root / reference[len(PREFIX) :]
    if not path.is_file():
        raise FileNotFoundError(
            f'_base_ names {reference!r}, but there is no file {path}; '
            f'what follows {PREFIX!r} is a path below {root}'
        )
    return str(path)


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
