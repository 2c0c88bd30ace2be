"""Files of each format, opened by the program that runs it."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import UserError

# The key of the metadata that `mmanchor export` writes.
METADATA_KEY = 'mmanchor'
_CPU = ('CPUExecutionProvider',)


@dataclass(frozen=True)
class Session:
    """An opened file.

    Args:
        engine: The program that runs it, for tables.
        metadata: The text that ``mmanchor export`` put into it, or ``None``.
        run: Images as the file takes them, (B, 3, H, W) -> its outputs.
    """

    engine: str
    metadata: str | None
    run: Callable[[np.ndarray], list[np.ndarray]]


def is_exported(path: Any) -> bool:
    """Whether a name is that of an exported file, by its suffix.

    Example:
        >>> is_exported('picodet.onnx'), is_exported('picodet.pth')
        (True, False)
    """
    return isinstance(path, (str, os.PathLike)) and Path(path).suffix in _OPENERS


def open_session(
    path: str | os.PathLike, providers: Sequence[str] = _CPU, threads: int = 0
) -> Session:
    """Open an exported file.

    Args:
        path: ``.onnx``, ``.xml`` (OpenVINO), ``.param`` (ncnn),
            ``.torchscript`` or ``.pt2``. The last two are programs of PyTorch:
            open only those whose origin you trust.
        providers: Execution providers of ONNX Runtime, in order of preference.
        threads: Of one inference; 0 leaves it to the program.

    Raises:
        UserError: If there is no such file, it cannot be run, or the program
            or an execution provider is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'there is no file {str(path)!r}')
    if path.suffix not in _OPENERS:
        raise UserError(
            f'{str(path)!r} is no exported model; its suffix would be one of {", ".join(_OPENERS)}'
        )
    package, title, opener = _OPENERS[path.suffix]
    if not find_spec(package):
        raise UserError(f'{str(path)!r} needs {title}: pip install {package}')
    if path.suffix == '.onnx':
        _require_providers(providers)
    elif tuple(providers) != _CPU:
        raise UserError(f'execution providers are for .onnx files, and this is {str(path)!r}')
    try:
        return opener(path, providers, threads)
    except UserError:
        raise
    # Each program has errors of its own for each reason, none of them public.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f'{str(path)!r} cannot be run by {title}: {reason}') from error


def onnx_session(
    model: str | bytes, providers: Sequence[str] = _CPU, threads: int = 0, optimize: bool = True
) -> Any:
    """A session of ONNX Runtime that prints errors only.

    Args:
        model: A file, or the bytes of one.
        providers: See :func:`open_session`.
        threads: See :func:`open_session`.
        optimize: Whether the graph may be optimized, which takes a while.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Its threads would go on spinning while another engine is timed.
    options.add_session_config_entry('session.force_spinning_stop', '1')
    if not optimize:
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.graph_optimization_level = level
    return onnxruntime.InferenceSession(model, options, providers=list(providers))


def _require_providers(providers: Sequence[str]) -> None:
    import onnxruntime

    known = onnxruntime.get_available_providers()
    for provider in providers:
        if provider not in known:
            raise UserError(
                f'the execution provider {provider!r} is not there; this ONNX Runtime has '
                f'{", ".join(known)}'
            )


def _open_onnx(path: Path, providers: Sequence[str], threads: int) -> Session:
    session = onnx_session(str(path), providers, threads)
    name = session.get_inputs()[0].name
    metadata = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return Session('onnxruntime', metadata, lambda images: session.run(None, {name: images}))


def _open_openvino(path: Path, _: Sequence[str], threads: int) -> Session:
    import openvino

    model = openvino.Core().read_model(str(path))
    metadata = None
    if model.has_rt_info([METADATA_KEY]):
        metadata = str(model.get_rt_info([METADATA_KEY]).value)
    # Half precision on CPUs that have it would not be what was checked.
    config = dict(INFERENCE_PRECISION_HINT='f32', PERFORMANCE_HINT='LATENCY')
    if threads:
        config['INFERENCE_NUM_THREADS'] = str(threads)
    compiled = openvino.Core().compile_model(model, 'CPU', config)

    def run(images: np.ndarray) -> list[np.ndarray]:
        return [np.array(each) for each in compiled([images]).values()]

    return Session('openvino', metadata, run)


def _open_torchscript(path: Path, _: Sequence[str], threads: int) -> Session:
    import torch

    files = {f'{METADATA_KEY}.json': ''}
    module = torch.jit.load(str(path), 'cpu', _extra_files=files)
    text = files[f'{METADATA_KEY}.json']
    metadata = text.decode() if isinstance(text, bytes) else text
    return Session('torchscript', metadata or None, _run_torch(module))


def _open_pt2(path: Path, _: Sequence[str], threads: int) -> Session:
    import torch

    files = {f'{METADATA_KEY}.json': ''}
    program = torch.export.load(str(path), extra_files=files)
    return Session('pt2', files[f'{METADATA_KEY}.json'] or None, _run_torch(program.module()))


def _run_torch(module: Any) -> Callable[[np.ndarray], list[np.ndarray]]:
    import torch

    def run(images: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            return [each.numpy() for each in module(torch.from_numpy(images))]

    return run


def _open_ncnn(path: Path, _: Sequence[str], threads: int) -> Session:
    import ncnn

    weights, beside = path.with_suffix('.bin'), path.with_suffix('.param.json')
    if not weights.is_file():
        raise UserError(f'{str(path)!r} needs its weights, {str(weights)!r}')
    net = ncnn.Net()
    # What ncnn takes by itself, float16 on some processors, is not what was checked.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if threads:
        net.opt.num_threads = threads
    if net.load_param(str(path)) or net.load_model(str(weights)):
        raise UserError(f'{str(path)!r} is no model that ncnn can load')
    metadata = beside.read_text(encoding='utf-8') if beside.is_file() else None
    names = net.output_names()
    names = sorted(names, key=lambda name: int(name.removeprefix('out')))

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = [_run_ncnn(net, ncnn, image, names) for image in images]
        return [np.stack(each) for each in zip(*found, strict=True)]

    return Session('ncnn', metadata, run)


def _run_ncnn(net: Any, ncnn: Any, image: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
    extractor = net.create_extractor()
    extractor.input('in0', ncnn.Mat(np.ascontiguousarray(image, np.float32)).clone())
    outputs = []
    for name in names:
        code, output = extractor.extract(name)
        if code:
            raise UserError(f'ncnn does not compute the output {name} (code {code})')
        outputs.append(np.array(output))
    return outputs


# By suffix: the package, its name for people, and what opens the file.
_OPENERS: dict[str, tuple[str, str, Callable[[Path, Sequence[str], int], Session]]] = {
    '.onnx': ('onnxruntime', 'ONNX Runtime', _open_onnx),
    '.xml': ('openvino', 'OpenVINO', _open_openvino),
    '.param': ('ncnn', 'ncnn', _open_ncnn),
    '.torchscript': ('torch', 'PyTorch', _open_torchscript),
    '.pt2': ('torch', 'PyTorch', _open_pt2),
}


def metadata_text(metadata: dict[str, Any]) -> str:
    """Metadata as the text that a file holds."""
    return json.dumps(metadata)
