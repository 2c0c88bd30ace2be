"""ONNX: the model as the exporter gave it."""

from pathlib import Path
from typing import Any

import onnx

from . import Job
from .onnx_file import save_onnx, set_metadata


def build(job: Job) -> onnx.ModelProto:
    """The ONNX model."""
    return job.proto


def save(program: onnx.ModelProto, metadata: dict[str, Any], path: Path) -> None:
    """Write the model, with its metadata inside, as one file."""
    set_metadata(program, metadata)
    save_onnx(program, path)
