"""INT8 by ONNX Runtime's static quantization, calibrated on a user's images."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ..runtime.images import prepare
from ..runtime.metadata import steps_of
from ..runtime.model import normalize
from ..runtime.sessions import onnx_session
from ..utils.errors import UserError, in_one_line
from .verify import example_images

# What is quantized: products with weights. Softmax, the masses of anchors,
# norms and products of two activations stay in float.
_OPERATORS = ('Conv', 'Gemm', 'MatMul')
# No operator stays in float whose error is below this share of the outputs.
_NOTICEABLE = 0.02
# Images on which the error of each operator is measured.
_MEASURED_ON = 2
# Shares of the values of a tensor that are cut off at each end; the better one is taken.
_CUTS = (0.0, 1e-4)
# Below and above these what follows a product is constant, so it may be cut there.
_CONSTANT_BEYOND = {'HardSwish': (-3.0, np.inf), 'HardSigmoid': (-3.0, 3.0), 'Relu': (0.0, np.inf)}


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
    tensor. Activations reach from the mean of the images' smallest values to
    that of their largest ones, all or without outliers, whichever changes the
    outputs less. Each operator is then quantized alone; those that change the
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
    model = onnx.shape_inference.infer_shapes(model)
    with _quiet():
        try:
            tried = []
            for ranges in activation_ranges(model, nodes, inputs).values():
                quantizer = _Quantizer(model, inputs[:_MEASURED_ON], ranges, symmetric)
                in_float = most_sensitive(quantizer.errors_alone(nodes), most_in_float)
                whole = quantizer.quantized([name for name in nodes if name not in in_float])
                tried.append((quantizer.error(whole), whole, in_float))
            _, whole, in_float = min(tried, key=lambda each: each[0])
            return whole, in_float
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


def activation_ranges(
    model: onnx.ModelProto, nodes: Sequence[str], inputs: Sequence[np.ndarray]
) -> dict[float, dict[str, tuple[float, float]]]:
    """Ranges of what goes into operators and comes out of them.

    Args:
        model: In float.
        nodes: Names of its operators.
        inputs: Images as it takes them.

    Returns:
        For each share of values that is cut off: tensor -> (low, high), the
        means over the images, within what the operator behind it tells apart.
    """
    constants = {each.name for each in model.graph.initializer}
    wanted = set(nodes)
    names, limits = [], {}
    for node in model.graph.node:
        if node.name in wanted:
            names += [name for name in (*node.input[:2], *node.output) if name not in constants]
            kinds = {each.op_type for each in model.graph.node if node.output[0] in each.input}
            if len(kinds) == 1:
                limits[node.output[0]] = _CONSTANT_BEYOND.get(kinds.pop(), (-np.inf, np.inf))
    names = list(dict.fromkeys(names))
    observed = _copy(model)
    known = {output.name for output in model.graph.output}
    observed.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known
    )
    session = onnx_session(observed.SerializeToString(), optimize=False)
    ends: dict[float, list[Any]] = {cut: [] for cut in _CUTS}
    for each in inputs:
        found = session.run(names, {session.get_inputs()[0].name: each})
        for cut, kept in ends.items():
            kept.append([_ends(values.ravel(), cut) for values in found])
    ranges: dict[float, dict[str, tuple[float, float]]] = {}
    for cut, kept in ends.items():
        ranges[cut] = {}
        for name, (low, high) in zip(names, np.mean(kept, axis=0), strict=True):
            least, most = limits.get(name, (-np.inf, np.inf))
            # A range holds zero, which is kept exactly.
            ranges[cut][name] = (min(0, max(low, least)), max(0, min(high, most)))
    return ranges


def _ends(values: np.ndarray, cut: float) -> tuple[float, float]:
    """The least and the largest value, with a share of them cut off at each end."""
    k = int(len(values) * cut)
    if k == 0:
        return float(values.min()), float(values.max())
    parted = np.partition(values, (k, len(values) - 1 - k))
    return float(parted[k]), float(parted[-1 - k])


class _Quantizer:
    """Quantizes parts of a model by one calibration.

    Args:
        model: The model.
        inputs: What errors are measured on.
        ranges: See :func:`activation_ranges`.
        symmetric: See :func:`quantize`.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        inputs: Sequence[np.ndarray],
        ranges: dict[str, tuple[float, float]],
        symmetric: bool,
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._ranges = {name: tuple(map(np.float32, ends)) for name, ends in ranges.items()}
        self._symmetric = symmetric
        # Norms of the outputs, taken of the float model.
        self._scales: list[float] = []
        self._wanted = self._outputs(model)

    def quantized(self, nodes: Sequence[str]) -> onnx.ModelProto:
        """The model with these operators quantized."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        quantizer = QDQQuantizer(
            _copy(self._model),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if self._symmetric else QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, dict(self._ranges)),
            nodes_to_quantize=list(nodes),
            nodes_to_exclude=[],
            op_types_to_quantize=list(_OPERATORS),
            extra_options=dict(
                ActivationSymmetric=self._symmetric,
                # Kernels of ONNX Runtime take one scale for a matrix.
                TensorQuantOverrides=self._per_tensor(nodes),
            ),
        )
        quantizer.quantize_model()
        # It appends nodes behind those that they feed.
        quantizer.model.topological_sort()
        return quantizer.model.model

    def error(self, model: onnx.ModelProto) -> float:
        """By how much the outputs of a model differ from those in float, over their norm."""
        norm = np.linalg.norm(self._wanted) or 1.0
        return float(np.linalg.norm(self._outputs(model) - self._wanted) / norm)

    def errors_alone(self, nodes: Sequence[str]) -> dict[str, float]:
        """How much each operator changes the outputs if it alone is quantized."""
        return {name: self.error(self.quantized([name])) for name in nodes}

    def _outputs(self, model: onnx.ModelProto) -> np.ndarray:
        session = onnx_session(model.SerializeToString(), optimize=False)
        name = session.get_inputs()[0].name
        found = [session.run(None, {name: each}) for each in self._inputs]
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


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


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
