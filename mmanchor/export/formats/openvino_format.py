"""OpenVINO's intermediate representation, from ONNX."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.sessions import METADATA_KEY, metadata_text
from . import Job
from .onnx_file import save_onnx


@dataclass
class OpenVinoProgram:
    """A model of OpenVINO.

    Args:
        model: The model.
        half: Whether its weights are kept in float16.
    """

    model: Any
    half: bool


def build(job: Job) -> OpenVinoProgram:
    """Convert the ONNX model."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'model.onnx')
        save_onnx(job.proto, path)
        return OpenVinoProgram(openvino.convert_model(str(path)), job.half)


def save(program: OpenVinoProgram, metadata: dict[str, Any], path: Path) -> None:
    """Write ``.xml``, with the metadata as ``rt_info``, and ``.bin``."""
    import openvino

    program.model.set_rt_info(metadata_text(metadata), [METADATA_KEY])
    openvino.save_model(program.model, str(path), compress_to_fp16=program.half)
