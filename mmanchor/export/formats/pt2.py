"""PT2: a program of torch.export, which torch loads, compiles or lowers further."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from ...runtime.sessions import METADATA_KEY, metadata_text
from ...utils.errors import UserError, in_one_line
from . import Job
from .onnx_file import open_axes


def build(job: Job) -> torch.export.ExportedProgram:
    """Export the graph by torch.

    Raises:
        UserError: If it cannot be exported.
    """
    example, shapes = open_axes(job.example, job.dynamic)
    logging.getLogger('torch.fx').setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            return torch.export.export(job.graph, (example,), dynamic_shapes=shapes, strict=False)
    # Exporters raise anything.
    except Exception as error:
        raise UserError(f'torch cannot export this model: {in_one_line(error)}') from error


def save(program: torch.export.ExportedProgram, metadata: dict[str, Any], path: Path) -> None:
    """Write the program, with its metadata as an extra file inside."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        extra = {f'{METADATA_KEY}.json': metadata_text(metadata)}
        torch.export.save(program, str(path), extra_files=extra)
