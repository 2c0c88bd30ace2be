"""``mmanchor predict --exact``: the labels of an image of any size, as files."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.layers.banded_forward import layout_of
from ...utils.errors import UserError
from ...utils.files import make_folder, replacing
from ...utils.memory import free_memory
from ...utils.progress import Track, silently
from .forward import CHUNK_TOKENS, LabelRows, trunk_steps, trunk_work
from .label_files import LabelFile, write_preview, write_tiff
from .networks import objection
from .ranks import Ranks
from .readers import ArrayReader, Box, Reader, open_reader
from .token_maps import TokenFiles, TokenMaps

# Beside tokens: torch, weights and what one band needs, about.
_FIXED_BYTES = 1_500_000_000


def require_exact(module: Any) -> None:
    """Make sure that a network can run in bands.

    Args:
        module: The network.

    Raises:
        UserError: With what stands against it.
    """
    if fault := objection(module):
        raise UserError(f'this model cannot run in bands: {fault}')


def needed_bytes(module: Any, size: tuple[int, int], ranks: int = 1) -> int:
    """Memory that an image of (H, W) pixels needs in bands, in each process, about."""
    backbone = module.backbone
    return _FIXED_BYTES + layout_of(backbone, size).num_tokens * token_bytes(backbone) // ranks


def token_bytes(backbone: Any) -> int:
    """Memory of a token and its weights for the anchors, in float32."""
    attention = backbone.layers[0].attn
    return 4 * (backbone.embed_dims + attention.num_heads * attention.num_anchors)


def segment_array(
    module: Any, image: np.ndarray, device: str, chunk_tokens: int = CHUNK_TOKENS
) -> np.ndarray:
    """Labels of an image in memory.

    Args:
        module: A segmentor, in evaluation mode.
        image: (H, W, 3) uint8, BGR.
        device: Where it runs.
        chunk_tokens: Most tokens of a band.

    Returns:
        (H, W) int64.
    """
    require_exact(module)
    size = image.shape[:2]
    maps = TokenMaps(layout_of(module.backbone, size), module.backbone.out_indices, device)
    strips = Strips(module, ArrayReader(image))
    for _ in trunk_steps(module.backbone, size, strips, maps, chunk_tokens):
        pass
    rows = LabelRows(module, maps, size)
    return np.concatenate([rows(*band).numpy() for band in rows.bands])


def segment_file(
    module: Any,
    path: Path,
    out: Path,
    palette: Any,
    device: str,
    ranks: Ranks,
    track: Track = silently,
    chunk_tokens: int = CHUNK_TOKENS,
) -> dict[str, str]:
    """Write the labels of an image file, and a preview.

    Until the end, the outputs of the trunk and the labels are in the folder
    ``OUT.parts`` beside ``out``. A run that finds the folder of a killed one
    goes on there.

    Args:
        module: A segmentor, in evaluation mode.
        path: The image.
        out: The TIFF file to write; the preview is beside it.
        palette: An RGB color for each label.
        device: Where the network runs.
        ranks: The processes that share the image.
        track: Shows progress.
        chunk_tokens: Most tokens of a band.

    Returns:
        Parts of the image that could not be read -> why.

    Raises:
        UserError: If the image cannot be read or does not fit.
    """
    require_exact(module)
    backbone = module.backbone
    if ranks.count > 1 and (backbone.extra_tokens or backbone.layers[0].attn.depthwise):
        raise UserError('a model with extra tokens or depthwise=True cannot share an image')
    with ranks.together():
        reader = open_reader(path)
        _check_fit(module, reader, ranks)
        folder = make_folder(f'{out}.parts', 'the folder of parts')
        _check_disk(folder, module, reader.size)
    size = reader.size
    about = dict(
        image=[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns],
        weights=_digest(module),
        size=size,
        chunk_tokens=chunk_tokens,
    )
    layout = layout_of(backbone, size)
    maps = TokenFiles(
        folder, layout, backbone.out_indices, device, backbone.embed_dims, about, ranks
    )
    maps.state.setdefault('faults', {})
    strips = Strips(module, reader, maps.state['faults'])
    steps = trunk_steps(backbone, size, strips, maps, chunk_tokens, ranks)
    work = trunk_work(backbone, size, chunk_tokens, ranks, maps.state['layer'] + 1)
    for _ in track(steps, f'trunk, {path.name}', work):
        pass
    _write_labels(module, maps, folder, size, ranks, track, path.name)
    faults: dict[str, str] = maps.state['faults']
    ranks.wait()
    if ranks.is_first:
        _finish(out, folder, reader, module, palette, faults)
    ranks.wait()
    return {_named(json.loads(box)): reason for box, reason in faults.items()}


def _check_fit(module: Any, reader: Reader, ranks: Ranks) -> None:
    height, width = reader.size
    if min(height, width) < module.backbone.patch_size:
        raise UserError(f'{reader.path} has {width} x {height} pixels, which is less than a patch')
    need, free = needed_bytes(module, reader.size, ranks.count), free_memory()
    if free is not None and need > free:
        raise UserError(
            f'{reader.path}: {width} x {height} pixels need about {need / 1e9:.1f} GB of memory '
            f'in bands, and {free / 1e9:.1f} GB are free; give a reduced image, or share it '
            'between machines with torchrun'
        )


def _check_disk(folder: Path, module: Any, size: tuple[int, int]) -> None:
    backbone = module.backbone
    tokens = layout_of(backbone, size).num_tokens * backbone.embed_dims * 4
    need = tokens * (len(backbone.out_indices) + 1) + 2 * size[0] * size[1]
    held = sum(path.stat().st_size for path in folder.iterdir())
    free = shutil.disk_usage(folder).free + held
    if need > free:
        raise UserError(
            f'{folder} needs {need / 1e9:.1f} GB on the disk, of which {free / 1e9:.1f} GB are '
            'free; give another --out-dir'
        )


def _write_labels(
    module: Any,
    maps: TokenFiles,
    folder: Path,
    size: tuple[int, int],
    ranks: Ranks,
    track: Track,
    name: str,
) -> None:
    """Neck and head, for the bands that are not done."""
    rows = LabelRows(module, maps, size)
    labels = LabelFile(folder, size, label_type(module), len(rows.bands))
    done = labels.done()
    left = ranks.share([i for i in range(len(done)) if not done[i]])
    ranks.wait()  # before any process marks a band
    for i in track(left, f'labels, {name}', len(left)):
        first, last = rows.bands[i]
        labels.write(i, first, rows(first, last).numpy())


def _finish(
    out: Path, folder: Path, reader: Reader, module: Any, palette: Any, faults: dict[str, str]
) -> None:
    """The files that stay, from those of the run, which go."""
    labels = LabelFile(folder, reader.size, label_type(module), 0).read()
    if faults:
        labels = np.asarray(labels).copy()
        for box in map(json.loads, faults):
            top, bottom, left, right = _touched(box, module.backbone.patch_size)
            labels[top:bottom, left:right] = np.iinfo(labels.dtype).max
    with replacing(out) as part:
        write_tiff(part, labels, palette, reader.geo_tags)
        reader.place(part)
    write_preview(out.with_name(f'{out.stem}_preview.png'), labels, palette)
    shutil.rmtree(folder)


def label_type(module: Any) -> type:
    """The smallest type with a value left for pixels without a label."""
    return np.uint8 if module.num_classes <= 255 else np.uint16


def _touched(box: Box, patch: int) -> Box:
    """A part of an image, grown to whole patches."""
    top, bottom, left, right = box
    return (
        top // patch * patch,
        -(-bottom // patch) * patch,
        left // patch * patch,
        -(-right // patch) * patch,
    )


def _named(box: Box) -> str:
    top, bottom, left, right = box
    return f'rows {top} to {bottom - 1}, columns {left} to {right - 1}'


class Strips:
    """Rows of an image as its network takes them; what cannot be read is the mean color.

    Args:
        module: The segmentor, whose data preprocessor is applied.
        reader: The image.
        faults: Gets the reader's faults, as JSON of their boxes.
    """

    def __init__(self, module: Any, reader: Reader, faults: dict[str, str] | None = None) -> None:
        self.module, self.reader, self.faults = module, reader, faults

    def __call__(self, first: int, last: int) -> Tensor:
        rows = torch.from_numpy(np.ascontiguousarray(self.reader.rows(first, last)))
        data = self.module.data_preprocessor(dict(inputs=[rows.permute(2, 0, 1)]), False)
        x = data['inputs']
        for (top, bottom, left, right), reason in self.reader.faults.items():
            if self.faults is not None:
                self.faults[json.dumps([top, bottom, left, right])] = reason
            if top < last and bottom > first:
                x[:, :, max(0, top - first) : max(0, bottom - first), left:right] = 0
        return x


def _digest(module: torch.nn.Module) -> str:
    """A hash of all weights."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
