"""TorchScript, traced: what LibTorch runs in C++."""

import warnings
from pathlib import Path
from typing import Any

import torch

from ...runtime.sessions import METADATA_KEY, metadata_text
from ...utils.errors import UserError, in_one_line
from . import Job


def build(job: Job) -> torch.jit.ScriptModule:
    """Trace the graph at the size of the example.

    Raises:
        UserError: If it cannot be traced.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            return torch.jit.trace(job.graph, (job.example,), check_trace=False)
    # The tracer raises anything.
    except Exception as error:
        raise UserError(f'torch cannot trace this model: {in_one_line(error)}') from error


def save(program: torch.jit.ScriptModule, metadata: dict[str, Any], path: Path) -> None:
    """Write the program, with its metadata as an extra file inside."""
    extra = {f'{METADATA_KEY}.json': metadata_text(metadata)}
    torch.jit.save(program, str(path), _extra_files=extra)
