"""From a checkpoint of a training run to a file of weights to give away."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from mmengine import __version__ as mmengine_version

from .. import __version__
from ..compat.safetensors_files import save_safetensors
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder, require_weights_path
from .checkpoints import read_checkpoint, require_checkpoint

# What tools that use the weights look for. The rest names the folders, the
# machine and the hooks of the training run.
META = ('dataset_meta', 'epoch', 'iter')


def publish_checkpoint(checkpoint: PathLike, out: PathLike) -> Path:
    """Write the weights of a checkpoint, with part of their SHA-256 in the name.

    The weights are those that ``mmanchor test`` uses: of a run with an
    exponential moving average, the averaged ones. Optimizer, schedules,
    messages and the config stay behind; the names of the classes go along.
    The same weights always give the same name.

    Args:
        checkpoint: The checkpoint of a training run.
        out: ``NAME.pth`` or ``NAME.safetensors``; the file written is
            ``NAME-xxxxxxxx`` with that suffix, x being the first digits of its
            SHA-256, which ``torch.hub`` and MMEngine check after a download.

    Returns:
        The file written, or found there with the same content.

    Raises:
        UserError: If ``out`` has another suffix, the checkpoint is none, or
            another file has the name.
    """
    source = require_checkpoint(checkpoint, 'CHECKPOINT')
    out = require_weights_path(out, 'OUT')
    make_folder(out.parent, 'the folder of OUT')
    loaded = read_checkpoint(source)
    published = dict(meta=_meta_of(loaded), state_dict=_weights_of(loaded, source))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.publish-') as scratch:
        part = Path(scratch, f'weights{out.suffix}')
        if out.suffix == '.pth':
            torch.save(published, part)
        else:
            save_safetensors(published, part)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        final = out.with_name(f'{out.stem}-{digest[:8]}{out.suffix}')
        if not final.exists():
            part.rename(final)
        elif final.read_bytes() != part.read_bytes():
            raise UserError(f'{final} exists and is another file; give another OUT')
    return final


def _meta_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    meta = checkpoint.get('meta') or {}
    kept = {name: meta[name] for name in META if name in meta}
    return dict(mmanchor_version=__version__, mmengine_version=mmengine_version, **kept)


def _weights_of(checkpoint: dict[str, Any], source: str) -> dict[str, torch.Tensor]:
    weights = {
        # A view would bring along all of the memory that it is a view of.
        name: value.detach().cpu().clone().contiguous()
        for name, value in checkpoint['state_dict'].items()
        if isinstance(value, torch.Tensor)
    }
    if not weights:
        raise UserError(f'{source!r} has no weights to publish')
    return weights
