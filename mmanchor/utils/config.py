"""Configs by path or by name, and what the command line changes in them."""

import argparse
import copy
import difflib
import importlib.util
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from .config_files import PREFIX, config_root
from .config_keys import require_effect
from .config_types import require_types
from .data_root import set_data_root
from .errors import UserError
from .files import WEIGHTS_SUFFIXES, PathLike

TOOLBOXES = ('mmdet', 'mmpretrain', 'mmseg')


def list_configs() -> list[str]:
    """Names that :func:`find_config` knows: paths without ``.py``, sorted."""
    root = config_root()
    paths = (path.relative_to(root) for path in root.rglob('*.py'))
    return sorted(path.with_suffix('').as_posix() for path in paths if '_base_' not in path.parts)


def find_config(name: PathLike) -> Path:
    """The config file that a user means.

    Args:
        name: A path, or the name of one of our configs: with or without its
            folder, ``.py`` and a leading ``mmanchor::``; or a config that
            came with a toolbox, as MMEngine writes it, such as
            ``mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py``.

    Returns:
        The path of an existing file.

    Raises:
        UserError: If there is no such config, or several have this name.

    Example:
        >>> find_config('upernet_anchorformer_ade').name
        'upernet_anchorformer_ade.py'
    """
    if Path(name).is_file():
        return Path(name)
    if '::' in str(name) and not str(name).startswith(PREFIX):
        return _toolbox_config(str(name))
    wanted = str(name).removeprefix(PREFIX).removesuffix('.py')
    known = list_configs()
    found = [each for each in known if wanted in (each, each.rsplit('/', 1)[-1])]
    if wanted in found:
        found = [wanted]
    if len(found) == 1:
        return config_root() / f'{found[0]}.py'
    if found:
        raise UserError(f'{str(name)!r} names several configs; choose one of {", ".join(found)}')
    raise UserError(
        f'there is no config file {str(name)!r}, and none of our '
        f'configs has this name{_close_to(wanted, known)}'
    )


def _toolbox_config(name: str) -> Path:
    """The file that ``package::path`` names, on either stack.

    MMEngine's own look-up asks for the distribution by OpenMMLab's name,
    which the fork does not have.
    """
    package, _, wanted = name.partition('::')
    spec = None
    if package.isidentifier():
        spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(
            f'{name!r} names a config of the package {package!r}, which is not installed'
        )
    root = Path(spec.origin).parent / '.mim' / 'configs'
    path = root / f'{wanted.removesuffix(".py")}.py'
    if path.is_file():
        return path
    known = [each.relative_to(root).as_posix() for each in root.rglob('*.py')]
    close = difflib.get_close_matches(wanted, known, 3)
    hint = f'; did you mean {", ".join(close)}?' if close else ''
    raise UserError(f'{package} came with no config {wanted!r}: there is no file {path}{hint}')


def _close_to(wanted: str, known: Sequence[str]) -> str:
    """A hint of names like ``wanted``, or of all if there are few."""
    stem = wanted.rsplit('/', 1)[-1]
    names = {each.rsplit('/', 1)[-1]: each for each in known}
    close = [names[each] for each in difflib.get_close_matches(stem, names, 5, 0.5)]
    close = close or [each for each in known if '/' not in each]
    return f'; did you mean {", ".join(close)}?' if close else ''


def parse_options(words: Sequence[str] | None) -> dict[str, Any]:
    """Read ``--cfg-options`` as every OpenMMLab tool does.

    Args:
        words: ``KEY=VALUE`` pairs, such as ``model.backbone.depth=2`` or
            ``a.b="[(1,2)]"``; ``None`` is none.

    Returns:
        Dotted keys and their values.

    Raises:
        UserError: If a word is not a pair.

    Example:
        >>> parse_options(['train_cfg.max_iters=4', 'x=a,b'])
        {'train_cfg.max_iters': 4, 'x': ['a', 'b']}
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('options', nargs='*', action=DictAction)
    words = words or ()
    for word in words:
        if not word.partition('=')[0].strip() or '=' not in word:
            raise UserError(f'--cfg-options takes KEY=VALUE pairs, got {word!r}')
    try:
        options = parser.parse_args(['--', *words]).options if words else {}
    except (AssertionError, ValueError) as error:
        raise UserError(f'--cfg-options {" ".join(words)}: {error}') from error
    return dict(options)


def load_config(
    config: PathLike,
    cfg_options: dict[str, Any] | None = None,
    work_dir: PathLike | None = None,
    launcher: str = 'none',
    data_root: PathLike | None = None,
) -> Config:
    """Read a config and lay the command line over it.

    Precedence is the config, then ``data_root``, then ``cfg_options``, then
    the other arguments.

    Args:
        config: A path or a name, as in :func:`find_config`.
        cfg_options: Dotted keys and values to override. The key ``data_root``
            is taken as the argument ``data_root``: changing that variable
            alone would change nothing, as a config copies it.
        work_dir: Folder for logs and checkpoints; ``None`` keeps the
            config's, or takes ``work_dirs/<name of the config>``.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        data_root: Folder of the data, for all splits and evaluators; see
            :func:`~mmanchor.utils.data_root.set_data_root`. ``None`` keeps
            the config's.

    Returns:
        The config, with ``work_dir`` and ``launcher`` set.

    Raises:
        UserError: If there is no such config, it cannot be read, or what is
            given does not fit it.
    """
    path = find_config(config)
    if path.suffix in WEIGHTS_SUFFIXES:
        raise UserError(f'{str(config)!r} is a checkpoint, and CONFIG comes first, then CHECKPOINT')
    try:
        cfg = Config.fromfile(str(path))
    # A config is a program of the user's: anything may go wrong in it, and it may end itself.
    except (Exception, SystemExit) as error:
        raise UserError(
            f'cannot read the config {path}: {type(error).__name__}: {error}'
        ) from error
    change_config(cfg, cfg_options, data_root)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif not cfg.get('work_dir'):
        cfg.work_dir = str(Path('work_dirs', path.stem))
    cfg.launcher = launcher
    return cfg


def change_config(
    cfg: Config, cfg_options: dict[str, Any] | None = None, data_root: PathLike | None = None
) -> None:
    """Lay options over a config, in place.

    Args:
        cfg: The config.
        cfg_options: As for :func:`load_config`.
        data_root: As for :func:`load_config`.

    Raises:
        UserError: If an option does not fit, nothing would read it, or a value
            is of the wrong type.
    """
    # MMEngine takes `_delete_` out of what it merges.
    options = copy.deepcopy(cfg_options or {})
    root = data_root or options.pop('data_root', None)
    options.pop('data_root', None)
    if root:
        set_data_root(cfg, root)
    require_effect(cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f'--cfg-options do not fit the config {cfg.filename}: {error.args[0]}'
        ) from error
    require_types(cfg)


@contextmanager
def building(cfg: Config) -> Iterator[None]:
    """Let what a config cannot be built from inside end as one message.

    Args:
        cfg: The config that is built inside.

    Raises:
        UserError: If a ``type`` is not registered, or a constructor fails for
            whatever reason; the message says where. What fails later, while
            batches are computed, is left as it is.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    # Constructors of four packages get what a user wrote: they raise anything.
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(each.name in ('run_iter', 'run_epoch', '__next__') for each in frames):
            raise
        reason = f'{type(error).__name__}: {error}'
        if isinstance(error, KeyError) and 'is not in the' in str(error):
            # MMEngine's way to say that a type is not registered.
            reason = error.args[0]
        else:
            reason += f' ({frames[-1].filename}, line {frames[-1].lineno})'
        raise UserError(f'the config {cfg.filename} cannot be built: {reason}') from error


def require_model(cfg: Config) -> None:
    """Make sure that a config has a model.

    Args:
        cfg: A config.

    Raises:
        UserError: If ``model`` is missing or no dict with a ``type``.
    """
    model = cfg.get('model')
    if not isinstance(model, dict) or not model.get('type'):
        raise UserError(
            f'the config {cfg.filename} has no model: it must be a dict with a type, got {model!r}'
        )


def toolbox(cfg: Config) -> str:
    """The toolbox whose conventions a config follows.

    Args:
        cfg: A config.

    Returns:
        ``'mmseg'``, ``'mmdet'`` or another ``default_scope``; without one, the
        package that the class of the model is imported from.

    Raises:
        UserError: If the config does not name it.
    """
    scope = cfg.get('default_scope') or _scope_of_model(cfg)
    if not isinstance(scope, str):
        raise UserError(
            f'the config {cfg.filename} sets no default_scope; '
            "write default_scope = 'mmseg' (or 'mmdet')"
        )
    return scope


def _scope_of_model(cfg: Config) -> str | None:
    """The toolbox that a config in MMEngine's new style imports its model from."""
    model = cfg.get('model')
    kind = model.get('type') if isinstance(model, dict) else None
    module = kind if isinstance(kind, str) else getattr(kind, '__module__', '')
    root = module.split('.')[0]
    return root if root in TOOLBOXES else None
