"""Export a trained model: build, convert, check, and only then give the file its name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..analysis.complexity import default_size, switch_to_deploy
from ..inference import load
from ..utils.config import toolbox
from ..utils.errors import UserError
from ..utils.files import PathLike, replacing, write_json
from .graphs import RESULTS, Graph, build_graph
from .layers import exportable_layers
from .metadata import build_metadata, resize_rule, suppression_of
from .onnx_file import require_opset, save_onnx, set_metadata, write_onnx
from .suppression import OUTPUTS as BOXES
from .suppression import add_suppression
from .verify import Verification, batches, example_images, verify

DYNAMIC = (None, 'batch', 'hw')


@dataclass
class ExportReport:
    """What an export gave.

    Args:
        path: The exported file.
        metadata: What was written beside it, and into it where it has room.
        verification: How far it agrees with torch.
    """

    path: Path
    metadata: dict[str, Any]
    verification: Verification


def export_model(
    config: PathLike | Config,
    checkpoint: PathLike | None,
    out: PathLike,
    *,
    size: tuple[int, int] | None = None,
    dynamic: str | None = None,
    results: str | None = None,
    uint8_input: bool = True,
    opset: int = 18,
    images: PathLike | None = None,
    trust_checkpoint: bool = False,
) -> ExportReport:
    """Write a model as one ONNX file that agrees with torch.

    The model is fused for deployment, exported by torch's dynamo exporter, run
    in ONNX Runtime on images and compared with torch: the numbers, and the
    boxes, labels or classes that a user sees. Over the tolerance nothing is
    written.

    Args:
        config: A config file, the name of one of ours, or a ``Config``.
        checkpoint: The weights; ``None`` exports random ones.
        out: The file to write, ``.onnx``. Its metadata also goes beside it, as
            ``.json``.
        size: (H, W) of the images, in pixels; ``None`` takes the test
            pipeline's.
        dynamic: What stays open: ``None`` (nothing), ``'batch'``, or ``'hw'``
            (batch, height and width).
        results: What is computed: detection ``'nms'``, ``'decode'`` or
            ``'raw'``; segmentation ``'labels'`` or ``'logits'``.
        uint8_input: Take uint8 images in the order of OpenCV's channels and
            normalize them inside; or take normalized float32 ones.
        opset: ONNX operator set, 18 or more.
        images: A folder of images to check with; ``None`` takes a photograph.
        trust_checkpoint: Read the checkpoint even if it may run code.

    Returns:
        The file, its metadata and the comparison.

    Raises:
        UserError: If an option does not fit, the model cannot be exported, or
            the exported file does not agree with torch.
    """
    out = Path(out)
    if out.suffix != '.onnx':
        raise UserError(f'OUT must end in .onnx, got {out}')
    if dynamic not in DYNAMIC:
        raise UserError(f"--dynamic must be 'batch' or 'hw', got {dynamic!r}")
    require_opset(opset)
    loaded = load(config, checkpoint, 'cpu', trust_checkpoint=trust_checkpoint)
    cfg, task, model = loaded.config, loaded.task, loaded.module
    resize_rule(cfg.get('test_pipeline') or cfg.test_dataloader.dataset.pipeline)
    size = size or tuple(default_size(cfg))
    results = results or default_results(model, task)
    switch_to_deploy(model)
    graph = build_graph(model, task, 'decode' if results == 'nms' else results, uint8_input).eval()
    suppression = suppression_of(model) if results == 'nms' else None
    photos = example_images(Path(images) if images else None)
    step = max(graph.preprocessing.divisor, 16)
    inputs = list(batches(photos, size, dynamic, step))
    example = torch.from_numpy(inputs[0][:1])
    if not uint8_input:
        example = example.float()
    with replacing(out) as part:
        with DefaultScope.overwrite_default_scope(toolbox(cfg)), exportable_layers(model):
            proto = write_onnx(graph, example, part, dynamic=dynamic, opset=opset)
        trained = checkpoint is not None
        checked = verify(_session(proto), graph, task, inputs, raw=True, trained=trained)
        if suppression:
            proto = add_suppression(proto, suppression)
            seen = verify(_session(proto), graph, task, inputs, trained=trained)
            checked.agreement, checked.compared = seen.agreement, seen.compared
        metadata = build_metadata(
            cfg,
            graph,
            task,
            results=results,
            classes=loaded.classes,
            size=size,
            dynamic=dynamic,
            outputs=BOXES if suppression else graph.outputs,
            suppression=suppression,
        )
        metadata['versions'] |= dict(onnx=onnx.__version__, opset=str(opset))
        metadata['verification'] = vars(checked)
        set_metadata(proto, metadata)
        save_onnx(proto, part)
    write_json(out.with_suffix('.json'), metadata)
    return ExportReport(out, metadata, checked)


def default_results(model: torch.nn.Module, task: str) -> str:
    """The first of :data:`RESULTS` that a model can give."""
    from .graphs import has_picodet_head

    if task == 'detection' and not has_picodet_head(model):
        return 'raw'
    return RESULTS[task][0]


def _session(model: onnx.ModelProto) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Run a model in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})


__all__ = ['ExportReport', 'Graph', 'default_results', 'export_model']
