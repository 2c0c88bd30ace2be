"""Checkpoints: which file, and whether its weights are the model's."""

import logging
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from torch import nn

from ..utils.errors import UserError
from ..utils.files import PathLike

# Heads that only training uses; published checkpoints often lack them.
TRAINING_ONLY = ('auxiliary_head',)
# MMEngine's file that names the newest checkpoint.
POINTER = 'last_checkpoint'


def require_checkpoint(path: PathLike, name: str) -> str:
    """Make sure that a checkpoint exists; addresses are left to MMEngine.

    Args:
        path: A file; a ``last_checkpoint`` that MMEngine wrote, which is
            followed; or an address with a scheme such as ``https://``.
        name: What the user calls it, such as ``--resume``.

    Returns:
        The path of an existing file, or the address.

    Raises:
        UserError: If there is no such file.
    """
    path = str(path)
    if Path(path).is_file():
        return _followed(Path(path), name) if Path(path).name == POINTER else path
    scheme, found, _ = path.partition('://')
    if found:
        if not any(re.match(each, path) for each in CheckpointLoader._schemes if each):
            raise UserError(f'{name}: no storage is known for {scheme}://, got {path!r}')
        return path
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    near = sorted(each.name for each in folder.glob('*.pth'))
    hint = f'; {folder} has {", ".join(near[-5:])}' if near else ''
    raise UserError(f'{name}: there is no checkpoint {path!r}{hint}')


def _followed(pointer: Path, name: str) -> str:
    """The file that a ``last_checkpoint`` names; the folder may have been moved."""
    try:
        target = Path(pointer.read_text(encoding='utf-8').strip())
        for path in (target, pointer.parent / target.name):
            if path.is_file():
                return str(path)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f'{name} {str(pointer)!r} does not name a file') from error
    raise UserError(f'{name}: {str(pointer)!r} names {str(target)!r}, which is gone')


def latest_checkpoint(work_dir: PathLike) -> str | None:
    """The newest whole checkpoint of a run.

    Of files with the same number the newer one counts. ``last_checkpoint``,
    which MMEngine writes, is not needed: a run killed between two files
    leaves an old one, and in a copied folder it names the original.

    Args:
        work_dir: The folder of the run.

    Returns:
        A path in this folder; ``None`` if there is nothing to resume from.
        Damaged files are skipped with a warning.
    """
    numbers = {}
    for path in Path(work_dir).glob('*.pth'):
        match = re.fullmatch(r'(?:iter|epoch)_(\d{1,18})', path.stem)
        if match and path.is_file():
            # An epoch counts more than an iteration, so files of both kinds
            # are compared by their age.
            numbers[path] = int(match[1])
    kinds = {path.stem.partition('_')[0] for path in numbers}
    order = numbers.get if len(kinds) < 2 else (lambda path: path.stat().st_mtime)
    for path in sorted(numbers, key=order, reverse=True):
        fault = find_fault(path)
        if fault is None:
            return str(path)
        print_log(
            f'{path} is damaged ({fault}) and skipped; resuming takes the checkpoint before '
            'it, if there is one',
            'current',
            logging.WARNING,
        )
    return None


def find_fault(path: Path) -> str | None:
    """What is wrong with a checkpoint that a run has written.

    Args:
        path: A file in the zip format that ``torch.save`` writes.

    Returns:
        The fault; ``None`` if each part of the file is as it was written.
    """
    if path.stat().st_size == 0:
        return 'it is empty'
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        return f'{type(error).__name__}: {error}'
    if broken is not None:
        return f'{broken} differs from its checksum'
    if not any(name.endswith('/data.pkl') for name in names):
        return 'it is a zip file without data.pkl'
    return None


def read_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint to the CPU, through MMEngine's loader.

    Args:
        path: As :func:`require_checkpoint` returned it.

    Returns:
        A dict with ``state_dict``, and ``meta`` if the file has one.

    Raises:
        UserError: If the file is not a checkpoint.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu')
    except UserError:
        raise
    # An arbitrary file makes the unpickler raise almost anything.
    except Exception as error:
        raise UserError(
            f'cannot read the checkpoint {path!r}: {type(error).__name__}: {error}'
        ) from error
    require_dict(checkpoint, path)
    if 'state_dict' not in checkpoint:
        checkpoint = dict(state_dict=checkpoint, meta={})
    checkpoint['state_dict'] = plain_weights(checkpoint['state_dict'], path)
    checkpoint['meta'] = _plain_meta(checkpoint.get('meta'))
    return checkpoint


def require_dict(checkpoint: Any, source: str) -> None:
    """Refuse a file that holds anything but a dict.

    Args:
        checkpoint: What it holds.
        source: The file, for messages.

    Raises:
        UserError: If it is no dict.
    """
    if not isinstance(checkpoint, dict):
        raise UserError(
            f'{source!r} holds {type(checkpoint).__name__}, not a dict of weights; it is no '
            'checkpoint'
        )


def plain_weights(state: Any, source: str) -> dict[str, torch.Tensor]:
    """The tensors of a ``state_dict``, without the prefix of wrapped models.

    Args:
        state: What a checkpoint holds as ``state_dict``.
        source: The file, for messages.

    Returns:
        Names and tensors; other entries are left out.

    Raises:
        UserError: If it is no dict of names, or a tensor is no plain one.
    """
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(
            f'the checkpoint {source!r} has no dict of named weights as its state_dict, but a '
            f'{type(state).__name__}; save dict(state_dict=model.state_dict())'
        )
    weights = {
        name.removeprefix('module.'): value
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    for name, value in weights.items():
        if value.is_meta or value.layout is not torch.strided or value.is_quantized:
            raise UserError(
                f'the checkpoint {source!r} holds {name} as a tensor without plain values '
                f'({value.layout}, {value.device}); save it as a dense tensor'
            )
        if value.is_floating_point() and not bool(value.isfinite().all()):
            print_log(f'{source}: {name} holds NaN or Inf', 'current', logging.WARNING)
    return weights


def _plain_meta(meta: Any) -> dict[str, Any]:
    """The ``meta`` of a checkpoint; names and colors of classes checked."""
    meta = dict(meta) if isinstance(meta, dict) else {}
    data = meta.pop('dataset_meta', None)
    data = dict(data) if isinstance(data, dict) else {}
    names = next((data[key] for key in ('classes', 'CLASSES') if key in data), None)
    if not isinstance(names, (list, tuple)) or not all(isinstance(each, str) for each in names):
        return meta
    for key in ('palette', 'PALETTE'):
        if key in data and not _is_palette(data[key]):
            del data[key]
    return dict(meta, dataset_meta=data)


def _is_palette(value: Any) -> bool:
    try:
        colors = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return colors.ndim == 2 and colors.shape[1] == 3


def load_weights(
    model: nn.Module, checkpoint: dict[str, Any], source: str, optional: Sequence[str] = ()
) -> list[str]:
    """Load weights, and refuse those of another model.

    MMEngine only warns, so that a model with random weights would go on to
    be scored.

    Args:
        model: The model; wrappers are taken off.
        checkpoint: What :func:`read_checkpoint` returned.
        source: The file, for messages.
        optional: Prefixes of weights that need not be in the checkpoint.

    Returns:
        Names in the checkpoint that the model does not have.

    Raises:
        UserError: If weights are missing or have another shape.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    state = plain_weights(checkpoint['state_dict'], source)
    wrong: list[str] = []
    try:
        keys = model.load_state_dict(state, strict=False)
        missing, unknown = keys.missing_keys, keys.unexpected_keys
    except RuntimeError as error:
        wrong = re.findall(r'size mismatch for ([^:\s]+)', str(error))
        if not wrong:
            raise
        own = model.state_dict()
        missing = sorted(own.keys() - state.keys())
        unknown = sorted(state.keys() - own.keys())
    missing = [
        name
        for name in missing
        if not name.endswith('num_batches_tracked') and not name.startswith(tuple(optional))
    ]
    if missing or wrong:
        raise UserError(
            f'the checkpoint {source!r} is not of this model: of '
            f'{len(model.state_dict())} weights, {len(missing)} are missing'
            f'{some_of(missing)} and {len(wrong)} have another shape'
            f'{some_of(wrong)}; {len(unknown)} are unknown to the model'
            f'{some_of(unknown)}. Give the config that the checkpoint was '
            'trained with'
        )
    return unknown


def some_of(names: Iterable[str]) -> str:
    """The first few names in brackets; nothing if there are none."""
    names = list(names)
    more = ', ...' if names[3:] else ''
    return f' ({", ".join(names[:3])}{more})' if names else ''
