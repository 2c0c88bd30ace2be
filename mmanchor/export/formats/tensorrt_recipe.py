"""ONNX for TensorRT, and the commands that build an engine from it.

An engine serves the one GPU and version that it was built with, so it is built
where it runs. What is checked here is the ONNX file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from . import Job, onnx_format

MAX_BATCH = 8


@dataclass
class TensorRtProgram:
    """An ONNX model and how to build it.

    Args:
        proto: The model.
        size: (H, W) of the images.
        dynamic: What is open.
        half: Whether the engine computes in float16.
        int8: Whether the model holds INT8 operators.
    """

    proto: onnx.ModelProto
    size: tuple[int, int]
    dynamic: str | None
    half: bool
    int8: bool


def build(job: Job) -> TensorRtProgram:
    """The ONNX model, with what the commands need."""
    size = (int(job.example.shape[2]), int(job.example.shape[3]))
    int8 = any(node.op_type == 'QuantizeLinear' for node in job.proto.graph.node)
    return TensorRtProgram(job.proto, size, job.dynamic, job.half, int8)


def save(program: TensorRtProgram, metadata: dict[str, Any], path: Path) -> None:
    """Write the ONNX file and a script of the same name."""
    onnx_format.save(program.proto, metadata, path)
    path.with_suffix('.sh').write_text(recipe(program, path.name), encoding='utf-8')


def recipe(program: TensorRtProgram, name: str) -> str:
    """The script that builds an engine and times it.

    Args:
        program: What is built.
        name: Of the ONNX file, which lies beside the script.
    """
    stem = name.removesuffix('.onnx')
    options = [f'--onnx="{name}"', f'--saveEngine="{stem}.engine"']
    options += ['--fp16'] * program.half + ['--int8'] * program.int8
    if program.dynamic:
        low, best, high = _profile(program)
        for option, (batch, height, width) in (('min', low), ('opt', best), ('max', high)):
            options.append(f'--{option}Shapes=images:{batch}x3x{height}x{width}')
    lines = ' \\\n    '.join(['trtexec', *options])
    return (
        '#!/bin/sh\n'
        '# Build an engine on the GPU that will run it. The ONNX file was checked in ONNX\n'
        '# Runtime; the engine was not: compare its boxes or classes before you use it.\n'
        f'cd "$(dirname "$0")" || exit 1\n{lines}\n'
        f'trtexec --loadEngine="{stem}.engine"\n'
    )


def _profile(program: TensorRtProgram) -> list[tuple[int, int, int]]:
    """Least, usual and largest (batch, height, width)."""
    height, width = program.size
    if program.dynamic == 'batch':
        return [(batch, height, width) for batch in (1, 1, MAX_BATCH)]
    return [(1, height // 2, width // 2), (1, height, width), (MAX_BATCH, height * 2, width * 2)]
