"""INT8 by ONNX Runtime's static quantization, calibrated on a user's images."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..runtime.images import prepare
from ..runtime.model import normalize, steps_of
from ..runtime.sessions import onnx_session
from ..utils.errors import UserError, in_one_line
from .verify import example_images

# What is quantized: products with weights. Softmax, the masses of anchors,
# norms and products of two activations stay in float.
_OPERATORS = ('Conv', 'Gemm', 'MatMul')
# No operator stays in float whose error is below this share of the outputs.
_NOTICEABLE = 0.01
# Images on which the error of each operator is measured.
_MEASURED_ON = 2


def quantize(
    model: onnx.ModelProto,
    folder: str | Path,
    metadata: dict[str, Any],
    *,
    number: int = 32,
    most_in_float: float = 0.2,
    symmetric: bool = False,
) -> tuple[onnx.ModelProto, list[str]]:
    """Turn weights and activations into 8-bit integers.

    Convolutions have a scale for each channel, matrix products one for each
    tensor. Each operator is first quantized alone; those that change the
    outputs the most stay in float, up to a share of all.

    Args:
        model: With float32 weights; a graph without NMS.
        folder: Images to calibrate on.
        metadata: Of the model; its steps prepare the images.
        number: Images that are used, at most.
        most_in_float: The share of operators that stays in float, at most.
        symmetric: Whether activations have their zero at 0, as TensorRT needs;
            otherwise they are unsigned.

    Returns:
        The quantized model, and the names of operators that stay in float.

    Raises:
        UserError: If ONNX Runtime cannot quantize the model.
    """
    inputs = calibration_inputs(folder, metadata, number)
    nodes = products_with_weights(model)
    if not nodes:
        raise UserError('--int8: the model has no convolution and no product with weights')
    with tempfile.TemporaryDirectory() as place, _quiet():
        quantizer = _Quantizer(model, inputs, Path(place), symmetric)
        try:
            errors = quantizer.errors_alone(nodes)
            in_float = most_sensitive(errors, most_in_float)
            chosen = [name for name in nodes if name not in in_float]
            return quantizer.quantized(chosen), in_float
        except UserError:
            raise
        # The quantizer raises anything.
        except Exception as error:
            raise UserError(
                f'--int8: ONNX Runtime cannot quantize this model: {in_one_line(error)}'
            ) from error


def calibration_inputs(
    folder: str | Path, metadata: dict[str, Any], number: int
) -> list[np.ndarray]:
    """Images of a folder as the file takes them.

    Args:
        folder: Of images.
        metadata: Of the model.
        number: How many at most.

    Returns:
        Arrays (1, 3, H, W).
    """
    steps, given, inputs = steps_of(metadata), metadata['input'], []
    for image in example_images(Path(folder), number):
        ready = prepare(image, steps)[0][None]
        if given['normalized_inside']:
            inputs.append(np.ascontiguousarray(ready.transpose(0, 3, 1, 2)))
        else:
            inputs.append(normalize(ready, given))
    return inputs


def products_with_weights(model: onnx.ModelProto) -> list[str]:
    """Names of convolutions and matrix products one of whose factors is constant."""
    constants = {each.name for each in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in _OPERATORS and any(name in constants for name in node.input[:2])
    ]


def most_sensitive(errors: dict[str, float], share: float) -> list[str]:
    """The operators that stay in float, the most sensitive first.

    Args:
        errors: Operator -> how much quantizing it alone changes the outputs,
            over their norm.
        share: Of the operators, at most.

    Example:
        >>> most_sensitive({f'op {i}': i / 100 for i in range(20)}, 0.1)
        ['op 19', 'op 18']
    """
    order = sorted(errors, key=errors.__getitem__, reverse=True)
    most = int(len(order) * share)
    return [name for name in order[:most] if errors[name] >= _NOTICEABLE]


class _Quantizer:
    """Quantizes parts of a model by one calibration.

    Args:
        model: The model.
        inputs: What it is calibrated on.
        folder: For files in between.
        symmetric: See :func:`quantize`.
    """

    def __init__(
        self, model: onnx.ModelProto, inputs: Sequence[np.ndarray], folder: Path, symmetric: bool
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._folder = folder
        self._symmetric = symmetric
        # Norms of the outputs, taken of the float model.
        self._scales: list[float] = []

    def quantized(self, nodes: Sequence[str]) -> onnx.ModelProto:
        """The model with these operators quantized."""
        from onnxruntime.quantization import QuantType, quantize_static

        path = self._folder / 'quantized.onnx'
        activations = QuantType.QInt8 if self._symmetric else QuantType.QUInt8
        quantize_static(
            self._copy(),
            str(path),
            _Reader(self._model.graph.input[0].name, self._inputs),
            op_types_to_quantize=list(_OPERATORS),
            nodes_to_quantize=list(nodes),
            per_channel=True,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            calibration_cache_path=str(self._folder / 'calibration.json'),
            extra_options=dict(
                ActivationSymmetric=self._symmetric,
                # Kernels of ONNX Runtime take one scale for a matrix.
                TensorQuantOverrides=self._per_tensor(nodes),
            ),
        )
        return onnx.load(str(path))

    def errors_alone(self, nodes: Sequence[str]) -> dict[str, float]:
        """How much each operator changes the outputs if it alone is quantized."""
        inputs = self._inputs[:_MEASURED_ON]
        wanted = self._outputs(self._model, inputs)
        norm = np.linalg.norm(wanted) or 1.0
        return {
            name: float(
                np.linalg.norm(self._outputs(self.quantized([name]), inputs) - wanted) / norm
            )
            for name in nodes
        }

    def _outputs(self, model: onnx.ModelProto, inputs: Sequence[np.ndarray]) -> np.ndarray:
        session = onnx_session(model.SerializeToString(), optimize=False)
        name = session.get_inputs()[0].name
        found = [session.run(None, {name: each}) for each in inputs]
        # Each output counts alike, whether it is in pixels or a probability.
        self._scales = self._scales or [float(np.linalg.norm(each)) or 1.0 for each in found[0]]
        return np.concatenate(
            [
                each.astype(np.float64).ravel() / scale
                for outputs in found
                for each, scale in zip(outputs, self._scales, strict=True)
            ]
        )

    def _per_tensor(self, nodes: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        from onnxruntime.quantization import QuantType

        constants = {each.name for each in self._model.graph.initializer}
        wanted = set(nodes)
        return {
            name: [dict(quant_type=QuantType.QInt8)]
            for node in self._model.graph.node
            if node.name in wanted and node.op_type in ('MatMul', 'Gemm')
            for name in node.input[:2]
            if name in constants
        }

    def _copy(self) -> onnx.ModelProto:
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        return copy


class _Reader:
    """Gives the calibration one input after the other."""

    def __init__(self, name: str, inputs: Sequence[np.ndarray]) -> None:
        self._left: Iterator[dict[str, np.ndarray]] = iter([{name: each} for each in inputs])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input; ``None`` at the end."""
        return next(self._left, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the quantizer prints and logs of each tensor."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
