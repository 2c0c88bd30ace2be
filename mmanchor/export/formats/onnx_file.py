"""Write a graph as one ONNX file, with what a runtime needs to know inside."""

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from ...runtime.sessions import METADATA_KEY, metadata_text
from ...utils.errors import UserError, in_one_line
from ..graphs import Graph

# A file of protocol buffers ends here.
_LARGEST_FILE = 2 * 1024**3


def write_onnx(
    graph: Graph, example: Tensor, *, dynamic: str | None, opset: int
) -> onnx.ModelProto:
    """Export by torch's dynamo exporter.

    Args:
        graph: The module.
        example: (B, 3, H, W), an input.
        dynamic: ``None`` fixes all sizes, ``'batch'`` leaves the number of
            images open, ``'hw'`` that and their height and width.
        opset: ONNX operator set, 18 or more.

    Returns:
        The model.

    Raises:
        UserError: If the exporter cannot export the graph; one line with the
            cause.
    """
    example, shapes = open_axes(example, dynamic)
    quiet = logging.getLogger('torch.onnx')
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=['images'],
                output_names=list(graph.outputs),
                dynamic_shapes=shapes,
            )
    # Exporters raise anything.
    except Exception as error:
        raise UserError(
            f'torch cannot export this model{_advice(dynamic)}: {in_one_line(error)}'
        ) from error
    finally:
        quiet.setLevel(level)
    assert program is not None  # it is, with dynamo
    model = program.model_proto
    _require_written(model, opset)
    _name_axes(model, dynamic)
    return model


def open_axes(example: Tensor, dynamic: str | None) -> tuple[Tensor, Any]:
    """An example input, and which of its axes torch leaves open."""
    if dynamic is None:
        return example, None
    axes = {0: torch.export.Dim.DYNAMIC}
    if dynamic == 'hw':
        axes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    # Torch takes a batch of one for a constant.
    return example.expand(max(len(example), 2), -1, -1, -1).contiguous(), (axes,)


def _require_written(model: onnx.ModelProto, opset: int) -> None:
    """Refuse a file of another opset, which torch writes where it cannot convert."""
    written = next(each.version for each in model.opset_import if each.domain in ('', 'ai.onnx'))
    if written != opset:
        raise UserError(
            f'torch cannot write this model in opset {opset} (it wrote {written}); '
            f'leave out --opset, or give {written}'
        )


def _advice(dynamic: str | None) -> str:
    return ' with open sizes; leave out --dynamic, or try --dynamic batch' if dynamic else ''


def _name_axes(model: onnx.ModelProto, dynamic: str | None) -> None:
    """Call open axes of the input what they are."""
    names = {None: {}, 'batch': {0: 'batch'}, 'hw': {0: 'batch', 2: 'height', 3: 'width'}}[dynamic]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    renamed = {}
    for axis, name in names.items():
        if dims[axis].dim_param:
            renamed[dims[axis].dim_param] = name
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for value in values:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in renamed:
                dim.dim_param = renamed[dim.dim_param]


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Write a model into one file.

    Raises:
        UserError: If it is larger than 2 GB, which one ONNX file cannot hold.
    """
    size = model.ByteSize()
    if size >= _LARGEST_FILE:
        raise UserError(
            f'the model has {size / 1024**3:.1f} GB, and one ONNX file holds 2 GB; '
            'use --format openvino or pt2'
        )
    onnx.save(model, str(path))


def set_metadata(model: onnx.ModelProto, metadata: dict[str, Any]) -> None:
    """Keep metadata in the model, as JSON text."""
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata_text(metadata)
