"""Where the configs of this package lie, installed or in a checkout."""

from pathlib import Path

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
