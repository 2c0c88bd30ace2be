"""Exported files among the networks that are timed."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..runtime.metadata import read_metadata
from ..runtime.sessions import open_session
from ..utils.errors import UserError, in_one_line

if TYPE_CHECKING:
    from .latency import LatencyOptions


def prepare_exported(
    path: str, options: 'LatencyOptions', rows: list[dict[str, Any]], calls: dict[int, Any]
) -> None:
    """Open an exported file, and add a row and a call for each batch size.

    Args:
        path: The file.
        options: How it is timed.
        rows: Of all networks; grows.
        calls: By the number of the row; grows.

    Raises:
        UserError: If the file cannot be run, or is to be timed on a GPU.
    """
    if options.device != 'cpu':
        raise UserError(f'{path}: exported files are timed on a CPU, not on {options.device}')
    session = open_session(path, threads=torch.get_num_threads())
    metadata = read_metadata(session.metadata, path)
    given = metadata['input']
    size = given['size'] if options.size is None else list(options.size)
    for batch in options.batches:
        row = dict(
            config=path,
            toolbox=f'exported files ({metadata["results"]})',
            engine=session.engine,
            batch=batch,
            shape=list(size),
            form='deploy',
        )
        random = np.random.default_rng(0)
        images: np.ndarray = random.integers(0, 256, (batch, 3, *size), dtype=np.uint8)
        images = images if given['normalized_inside'] else images.astype(np.float32) / 255
        try:
            session.run(images)
            calls[len(rows)] = partial(session.run, images)
            row.update(difference=None, peak_memory=None)
        # Each program has errors of its own.
        except Exception as error:
            row['reason'] = in_one_line(error)
        rows.append(row)
