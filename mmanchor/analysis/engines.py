"""Programs that run a network: torch, its compiler, ONNX Runtime."""

import importlib.util
import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..utils.errors import UserError, in_one_line

# Runs a network once on the images that it was prepared for.
Call = Callable[[], Sequence[Tensor]]
# Largest difference from eager outputs, relative to the largest of these.
TOLERANCES = {'float32': 1e-3, 'bfloat16': 5e-2, 'float16': 1e-2}
# Every network and batch size adds a version of the one compiled function.
_MAX_COMPILED = 256


class EngineError(Exception):
    """Why an engine cannot run a network."""


@dataclass(frozen=True)
class Engine:
    """A program that runs networks.

    Args:
        name: Its name in commands and tables.
        prepare: Takes a network in evaluation mode and images (B, 3, H, W),
            and returns a function that runs the network once on them. It may
            raise anything if it cannot.
        packages: Modules that it imports beside torch.
        extra: The extra of mmanchor that installs these packages.

    Example:
        >>> from torch import nn
        >>> def halved(network, images):
        ...     return lambda: [x / 2 for x in network(images)]
        >>> Engine('halved', halved).name
        'halved'
    """

    name: str
    prepare: Callable[[nn.Module, Tensor], Call]
    packages: tuple[str, ...] = ()
    extra: str = ''

    def versions(self) -> dict[str, str]:
        """Versions of its packages, which have to be installed."""
        # A distribution may have another name than its module.
        return {name: importlib.import_module(name).__version__ for name in self.packages}


def find_engines(engines: Sequence[str | Engine]) -> tuple[Engine, ...]:
    """Look engines up, and make sure that their packages are installed.

    Args:
        engines: Names of :data:`ENGINES`, or engines themselves.

    Returns:
        The engines.

    Raises:
        UserError: If a name is unknown, or a package is missing.
    """
    found = []
    for given in engines:
        engine = ENGINES.get(given) if isinstance(given, str) else given
        if engine is None:
            raise UserError(f'there is no engine {given!r}; choose from {", ".join(ENGINES)}')
        missing = [name for name in engine.packages if not importlib.util.find_spec(name)]
        if missing:
            cure = f"pip install 'mmanchor[{engine.extra}]'" if engine.extra else 'install it'
            raise UserError(f'the engine {engine.name} needs {", ".join(missing)}: {cure}')
        found.append(engine)
    return tuple(found)


def start_engine(engine: Engine, network: nn.Module, images: Tensor) -> tuple[Call, float]:
    """Prepare an engine, and compare its outputs with eager torch.

    Args:
        engine: The engine.
        network: Returns a tuple of tensors; in evaluation mode, on the device
            and in the dtype of ``images``.
        images: (B, 3, H, W).

    Returns:
        A function that runs the network on ``images`` once; and the largest
        difference from eager outputs, relative to the largest of these.

    Raises:
        EngineError: If the engine cannot run the network, or its outputs
            differ too much.
    """
    try:
        call = engine.prepare(network, images)
        outputs = call()
    except EngineError:
        raise
    # Compilers and exporters raise anything.
    except Exception as error:
        raise EngineError(in_one_line(error)) from error
    difference = relative_difference(outputs, _eager(network, images)())
    limit = TOLERANCES[str(images.dtype).removeprefix('torch.')]
    if not difference <= limit:  # NaN too
        raise EngineError(
            f'its outputs differ from eager ones by {difference:.1e} of the largest, '
            f'more than {limit:.0e}'
        )
    return call, difference


@torch.no_grad()
def relative_difference(outputs: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Largest difference of outputs, relative to the largest that is wanted.

    Args:
        outputs: Tensors, in an order.
        wanted: Tensors in the same order.

    Raises:
        EngineError: If their number or shapes differ.

    Example:
        >>> relative_difference([torch.tensor([1.0, 4.0])], [torch.tensor([2.0, 4.0])])
        0.25
    """
    shapes, wanted_shapes = ([tuple(x.shape) for x in tensors] for tensors in (outputs, wanted))
    if shapes != wanted_shapes:
        raise EngineError(f'its outputs have the shapes {shapes}, eager ones {wanted_shapes}')
    largest = torch.stack([x.abs().max() for x in wanted]).max().item()
    differences = [
        (x.double() - y.double()).abs().max() for x, y in zip(outputs, wanted, strict=True)
    ]
    difference = torch.stack(differences).max().item()
    if not difference:  # of zeros too
        return 0.0
    return difference / largest if largest else math.inf


def graphed(call: Call) -> Call:
    """Record what a call does on a GPU, to replay it without the CPU.

    Args:
        call: Runs a network on the current GPU.

    Returns:
        A function that replays it; it returns the recorded tensors, whose
        values are updated.

    Raises:
        EngineError: If it cannot be recorded.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(side):
            for _ in range(3):  # one-time set-up cannot be recorded
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


def _eager(network: nn.Module, images: Tensor) -> Call:
    def call() -> Sequence[Tensor]:
        with torch.no_grad():
            return network(images)

    return call


def _compile(network: nn.Module, images: Tensor) -> Call:
    """Compile for this shape, with weights as constants."""
    compiled = torch.compile(network, dynamic=False, options=dict(freezing=True))
    call = _eager(compiled, images)
    with torch._dynamo.config.patch(cache_size_limit=_MAX_COMPILED):
        call()
    return call


def _onnxruntime(network: nn.Module, images: Tensor) -> Call:
    """Export to ONNX, and run it on a CPU with as many threads as torch."""
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


ENGINES = {
    engine.name: engine
    for engine in (
        Engine('eager', _eager),
        Engine('compile', _compile),
        Engine('onnxruntime', _onnxruntime, ('onnx', 'onnxscript', 'onnxruntime'), 'onnx'),
    )
}
