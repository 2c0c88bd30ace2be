"""The programs that run a network: torch, its compiler, ONNX Runtime."""

import importlib.util
import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..utils.errors import UserError, in_one_line

Call = Callable[[], Sequence[Tensor]]
# Largest difference from eager outputs, relative to the largest of them.
TOLERANCES = {'float32': 1e-3, 'bfloat16': 5e-2, 'float16': 1e-2}
_ONNX_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
# Every network and batch size adds a version of the one compiled function.
_MOST_VERSIONS = 256


class EngineError(Exception):
    """Why an engine does not run a network."""


def require_engines(engines: Sequence[str]) -> None:
    """Make sure that engines are known and installed.

    Args:
        engines: Names of :data:`ENGINES`.

    Raises:
        UserError: If one is not.
    """
    for engine in engines:
        if engine not in ENGINES:
            raise UserError(f'there is no engine {engine!r}; choose from {", ".join(ENGINES)}')
    if 'onnxruntime' not in engines:
        return
    missing = [name for name in _ONNX_PACKAGES if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"the engine onnxruntime needs {', '.join(missing)}: run pip install 'mmanchor[onnx]'"
        )


def packages_of(engines: Sequence[str]) -> dict[str, str]:
    """The packages that engines are made of beside torch.

    Args:
        engines: Names of :data:`ENGINES`, installed.

    Returns:
        Versions by name.

    Example:
        >>> packages_of(['eager', 'compile'])
        {}
    """
    if 'onnxruntime' not in engines:
        return {}
    # Not their distributions', which have other names, too.
    return {name: importlib.import_module(name).__version__ for name in _ONNX_PACKAGES}


def start_engine(engine: str, network: nn.Module, images: Tensor) -> tuple[Call, float]:
    """Prepare an engine, and compare its outputs with torch's own.

    Args:
        engine: A name of :data:`ENGINES`.
        network: Gives a tuple of tensors; in evaluation mode, on the device
            and in the dtype of ``images``.
        images: (B, 3, H, W).

    Returns:
        What runs the network on ``images`` once; and the largest difference
        from eager outputs, over the largest of these.

    Raises:
        EngineError: If the engine cannot run the network, or gives something
            else.
    """
    eager = _eager(network, images)
    try:
        call = ENGINES[engine](network, images)
        outputs = call()
    except EngineError:
        raise
    # Compilers and exporters raise anything.
    except Exception as error:
        raise EngineError(in_one_line(error)) from error
    difference = relative_difference(outputs, eager())
    most = TOLERANCES[str(images.dtype).removeprefix('torch.')]
    if not difference <= most:  # NaN too
        raise EngineError(
            f'its outputs differ from eager ones by '
            f'{difference:.1e} of the largest, more than '
            f'{most:.0e}'
        )
    return call, difference


def graphed(call: Call) -> Call:
    """Record what a call does on a GPU, to be replayed without the CPU.

    Args:
        call: What runs a network on the current GPU.

    Returns:
        What replays it; the outputs are the recorded ones, written anew.

    Raises:
        EngineError: If it cannot be recorded.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(side):
            for _ in range(3):  # what is set up once cannot be recorded
                call()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            outputs = call()
    except RuntimeError as error:
        raise EngineError(f'no CUDA graph can be recorded: {str(error).splitlines()[0]}') from error

    def replay() -> Sequence[Tensor]:
        graph.replay()
        return outputs

    return replay


@torch.no_grad()
def relative_difference(outputs: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Largest difference of outputs, over the largest that is wanted.

    Args:
        outputs: Tensors, in an order.
        wanted: Tensors in the same order.

    Raises:
        EngineError: If numbers or shapes differ.

    Example:
        >>> relative_difference([torch.tensor([1.0, 4.0])], [torch.tensor([2.0, 4.0])])
        0.25
    """
    shapes, wanted_shapes = ([tuple(x.shape) for x in tensors] for tensors in (outputs, wanted))
    if shapes != wanted_shapes:
        raise EngineError(f'its outputs have the shapes {shapes}, eager ones {wanted_shapes}')
    largest = torch.stack([x.abs().max() for x in wanted]).max().item()
    difference = (
        torch.stack([(x.double() - y.double()).abs().max() for x, y in zip(outputs, wanted)])
        .max()
        .item()
    )
    if not difference:  # of zeros too
        return 0.0
    return difference / largest if largest else math.inf


def _eager(network: nn.Module, images: Tensor) -> Call:
    """Torch as it is."""

    def call() -> Sequence[Tensor]:
        with torch.no_grad():
            return network(images)

    return call


def _compile(network: nn.Module, images: Tensor) -> Call:
    """Torch's compiler, for this shape, with weights as constants."""
    compiled = torch.compile(network, dynamic=False, options=dict(freezing=True))
    call = _eager(compiled, images)
    with torch._dynamo.config.patch(cache_size_limit=_MOST_VERSIONS):
        call()
    return call


def _onnxruntime(network: nn.Module, images: Tensor) -> Call:
    """ONNX Runtime with the threads of torch, on a CPU."""
    import onnxruntime

    if images.device.type != 'cpu':
        raise EngineError('onnxruntime is timed on a CPU only')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    # Its threads would go on spinning while another engine is timed.
    options.add_session_config_entry('session.force_spinning_stop', '1')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'network.onnx')
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')
            torch.onnx.export(network, (images,), str(path), dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider']
        )
    feed = {session.get_inputs()[0].name: images.contiguous().numpy()}

    def call() -> Sequence[Tensor]:
        return [torch.from_numpy(x) for x in session.run(None, feed)]

    return call


ENGINES: dict[str, Callable[[nn.Module, Tensor], Call]] = {
    'eager': _eager,
    'compile': _compile,
    'onnxruntime': _onnxruntime,
}
