"""Checkpoints: which file, and whether its weights are the model's."""

import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from torch import nn

from ..utils.errors import UserError
from ..utils.files import PathLike

# Heads that only training uses; published checkpoints often lack them.
TRAINING_ONLY = ('auxiliary_head',)


def require_checkpoint(path: PathLike, name: str) -> str:
    """Make sure that a checkpoint exists; addresses are left to MMEngine.

    Args:
        path: A file, or an address with a scheme such as ``https://``.
        name: What the user calls it, such as ``--resume``.

    Returns:
        ``path`` as a string.

    Raises:
        UserError: If there is no such file.
    """
    path = str(path)
    if '://' in path or Path(path).is_file():
        return path
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    near = sorted(each.name for each in folder.glob('*.pth'))
    hint = f'; {folder} has {", ".join(near[-5:])}' if near else ''
    raise UserError(f'{name}: there is no checkpoint {path!r}{hint}')


def latest_checkpoint(work_dir: PathLike) -> str | None:
    """The newest whole checkpoint of a run.

    A run that was killed while saving leaves a torn file, or a
    ``last_checkpoint`` that names a file already removed: such are passed
    over.

    Args:
        work_dir: The folder of the run.

    Returns:
        A path; ``None`` if there is nothing to resume from.
    """
    folder = Path(work_dir)
    numbers = {}
    for path in folder.glob('*.pth'):
        match = re.fullmatch(r'(?:iter|epoch)_(\d+)', path.stem)
        if match:
            numbers[path] = int(match[1])
    candidates = sorted(numbers, key=numbers.get, reverse=True)
    pointer = folder / 'last_checkpoint'
    if pointer.is_file():
        last = Path(pointer.read_text(encoding='utf-8').strip())
        # The folder may have been moved since.
        candidates = [last, folder / last.name, *candidates]
    for path in candidates:
        if path.is_file() and _is_whole(path):
            return str(path)
    return None


def _is_whole(path: Path) -> bool:
    """Whether a file of torch's zip format has its end."""
    with path.open('rb') as file:
        is_zip = file.read(2) == b'PK'
    return not is_zip or zipfile.is_zipfile(path)


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
    if not isinstance(checkpoint, dict):
        raise UserError(
            f'{path!r} holds {type(checkpoint).__name__}, not a '
            'dict of weights; it is no checkpoint'
        )
    if 'state_dict' in checkpoint:
        return checkpoint
    return dict(state_dict=checkpoint, meta={})


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
    state = {
        re.sub(r'^module\.', '', name): value
        for name, value in checkpoint['state_dict'].items()
        if isinstance(value, torch.Tensor)
    }
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
            f'{_some(missing)} and {len(wrong)} have another shape'
            f'{_some(wrong)}; {len(unknown)} are unknown to the model'
            f'{_some(unknown)}. Give the config that the checkpoint was '
            'trained with'
        )
    return unknown


def _some(names: Iterable[str]) -> str:
    """The first few names in brackets; nothing if there are none."""
    names = list(names)
    more = ', ...' if names[3:] else ''
    return f' ({", ".join(names[:3])}{more})' if names else ''


class WeightsGuard(Hook):
    """Refuses, when a run loads a checkpoint, weights of another model.

    Args:
        source: The file, for messages.
        optional: Prefixes of weights that need not be in the checkpoint.
    """

    # After hooks that rearrange the checkpoint, as EMAHook does.
    priority = 'LOWEST'

    def __init__(self, source: str, optional: Sequence[str] = ()) -> None:
        self.source = source
        self.optional = tuple(optional)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Try the weights before MMEngine loads them."""
        if 'state_dict' not in checkpoint:
            checkpoint = dict(state_dict=checkpoint)
        unknown = load_weights(runner.model, checkpoint, self.source, self.optional)
        if unknown:
            runner.logger.warning(
                f'{len(unknown)} weights of {self.source} are not used{_some(unknown)}'
            )
