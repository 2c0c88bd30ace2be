"""Export a trained model: build, convert, check, and only then give the file its name."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..analysis.complexity import default_size, switch_to_deploy
from ..inference import load
from ..inference.pipeline import test_pipeline
from ..runtime.sessions import open_session
from ..utils.config import toolbox
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder, write_json
from .formats import Format, Job
from .graphs import Graph, build_graph, has_picodet_head, in_half
from .layers import exportable_layers
from .metadata import build_metadata, resize_rule, suppression_of
from .options import ExportOptions
from .suppression import OUTPUTS as BOXES
from .suppression import Suppression
from .verify import Verification, batches, example_images, verify


@dataclass
class ExportReport:
    """What an export gave.

    Args:
        path: The exported file.
        metadata: What was written beside it, and into it where it has room.
        verification: How far it agrees with torch.
        kept_in_float: Of INT8: the operators that were left in float.
    """

    path: Path
    metadata: dict[str, Any]
    verification: Verification
    kept_in_float: Sequence[str] = ()


@dataclass
class Plan:
    """What is exported, decided.

    Args:
        cfg: The config.
        options: As given.
        name: Of the format.
        format: The format.
        graph: The module, in float32: what the file must agree with.
        task: Of the model.
        metadata: What a runtime needs to know.
        suppression: Thresholds, if the file holds NMS.
        trained: Whether the weights are of a checkpoint.
    """

    cfg: Config
    options: ExportOptions
    name: str
    format: Format
    graph: Graph
    task: str
    metadata: dict[str, Any]
    suppression: Suppression | None
    trained: bool

    @property
    def number_format(self) -> str:
        """That decides what is close enough."""
        if self.options.int8 is not None:
            return 'int8'
        return 'float16' if self.options.half else 'float32'


def export_model(
    config: PathLike | Config, checkpoint: PathLike | None, out: PathLike, **options: Any
) -> ExportReport:
    """Write a model as a file that other programs run and that agrees with torch.

    The model is fused for deployment, exported, run by the program that the
    file is for and compared with torch on images: the numbers, and the boxes,
    labels or classes that a user sees. Over the tolerance nothing is written.

    Args:
        config: A config file, the name of one of ours, or a ``Config``.
        checkpoint: The weights; ``None`` exports random ones.
        out: The file to write. Its metadata also goes beside it, as ``.json``.
        options: Fields of :class:`~mmanchor.export.options.ExportOptions`.

    Returns:
        The file, its metadata and the comparison.

    Raises:
        UserError: If an option does not fit, the model cannot be exported, or
            the exported file does not agree with torch.
    """
    out, chosen = Path(out), ExportOptions(**options)
    plan = _plan(config, checkpoint, chosen, out)
    size = tuple(plan.metadata['input']['size'])
    folder = chosen.images or chosen.int8
    photos = example_images(Path(folder) if folder else None)
    step = max(plan.graph.preprocessing.divisor, 16)
    inputs = list(batches(photos, size, chosen.dynamic, step))
    example = torch.from_numpy(inputs[0][:1])
    if not plan.graph.uint8:
        example = plan.graph.normalized(example)
    in_graph = in_half(plan.graph) if chosen.half and plan.format.half_graph else plan.graph
    web = None if chosen.ort_web is None else Path(chosen.ort_web)
    job = Job(in_graph, example, chosen.dynamic, chosen.half, web)
    kept: Sequence[str] = ()
    if plan.format.from_onnx:
        kept = _make_onnx(plan, job, inputs)
    with _exportable(plan, job):
        program = plan.format.build(job)
    checked = _write_checked(plan, program, inputs, out)
    return ExportReport(out, plan.metadata, checked, kept)


def _plan(
    config: PathLike | Config, checkpoint: PathLike | None, options: ExportOptions, out: Path
) -> Plan:
    """Load the model and decide what is exported; mistakes end here."""
    name, chosen = options.format_of(out)
    loaded = load(config, checkpoint, 'cpu', trust_checkpoint=options.trust_checkpoint)
    cfg, task, model = loaded.config, loaded.task, loaded.module
    resize_rule(test_pipeline(cfg)[1])
    size = options.size or default_size(cfg)
    results = options.results_of(task, has_picodet_head(model), chosen)
    switch_to_deploy(model)
    uint8 = chosen.uint8 if options.uint8_input is None else options.uint8_input
    graph = build_graph(model, task, 'decode' if results == 'nms' else results, uint8).eval()
    suppression = suppression_of(model) if results == 'nms' else None
    # Without NMS in the file the thresholds are a hint, as far as they can be said.
    hint = None
    if results == 'decode':
        with contextlib.suppress(UserError):
            hint = suppression_of(model)
    metadata = build_metadata(
        cfg,
        graph,
        task,
        results=results,
        classes=loaded.classes,
        size=size,
        dynamic=options.dynamic,
        outputs=BOXES if results == 'nms' else graph.outputs,
        suppression=suppression or hint,
    )
    metadata['format'] = name
    trained = checkpoint is not None
    return Plan(cfg, options, name, chosen, graph, task, metadata, suppression, trained)


@contextlib.contextmanager
def _exportable(plan: Plan, job: Job) -> Iterator[None]:
    """Only while exporting: the reference keeps the layers of the toolboxes."""
    scope = DefaultScope.overwrite_default_scope(toolbox(plan.cfg))
    with scope, exportable_layers(job.graph.model):
        yield


def _make_onnx(plan: Plan, job: Job, inputs: Sequence[np.ndarray]) -> Sequence[str]:
    """Write the job's ONNX model, quantized and with NMS where that is asked for.

    Returns:
        Operators that were left in float.
    """
    import onnx

    from .formats.onnx_file import write_onnx
    from .quantization import quantize
    from .suppression import add_suppression

    options = plan.options
    kept: Sequence[str] = ()
    with _exportable(plan, job):
        job.proto = write_onnx(job.graph, job.example, dynamic=job.dynamic, opset=options.opset)
    plan.metadata['versions'] |= dict(onnx=onnx.__version__, opset=str(options.opset))
    if options.int8 is not None:
        job.proto, kept = quantize(
            job.proto,
            Path(options.int8),
            plan.metadata,
            number=options.num_calibration,
            most_in_float=options.most_in_float,
            symmetric=plan.format.symmetric,
        )
        plan.metadata['int8'] = dict(symmetric=plan.format.symmetric, kept_in_float=list(kept))
    if plan.suppression:
        # Behind NMS a small difference can be another box: numbers are compared before it.
        plan.metadata['before_nms'] = vars(_check_proto(plan, job.proto, inputs))
        job.proto = add_suppression(job.proto, plan.suppression)
    return kept


def _check_proto(plan: Plan, proto: Any, inputs: Sequence[np.ndarray]) -> Verification:
    from ..runtime.sessions import onnx_session

    session = onnx_session(proto.SerializeToString())
    name = session.get_inputs()[0].name
    return verify(
        lambda images: session.run(None, {name: images}),
        plan.graph,
        plan.task,
        inputs,
        plan.number_format,
        raw=True,
        trained=plan.trained,
    )


def _write_checked(
    plan: Plan, program: Any, inputs: Sequence[np.ndarray], out: Path
) -> Verification:
    """Write the files into a folder beside OUT, check them, and move them to their place."""
    metadata = plan.metadata
    before = metadata.pop('before_nms', None)
    with tempfile.TemporaryDirectory(prefix='.export-', dir=out.parent) as folder:
        path = Path(folder, out.name)
        plan.format.save(program, metadata, path)
        checked = verify(
            open_session(path / plan.format.main).run,
            plan.graph,
            plan.task,
            inputs,
            plan.number_format,
            raw=plan.suppression is None,
            trained=plan.trained,
        )
        if before:
            checked.difference = before['difference']
        metadata['verification'] = vars(checked)
        plan.format.save(program, metadata, path)
        main, *others = (file.relative_to(folder) for file in plan.format.files(path))
        for part in (*others, main):
            make_folder((out.parent / part).parent, 'the folder of OUT')
            os.replace(Path(folder, part), out.parent / part)
    if not plan.format.main:
        write_json(out.with_suffix('.json'), metadata)
    return checked


__all__ = ['ExportReport', 'export_model']
