"""Ranges of INT8 and what is quantized, on a graph of two products."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mmanchor.export.quantization import _Quantizer, activation_ranges, products_with_weights


@pytest.fixture
def model():
    """images -> convolution -> hard-swish -> convolution; both multiply by 1 and 10."""
    weights = [
        numpy_helper.from_array(np.full((1, 1, 1, 1), value, np.float32), name)
        for name, value in dict(one=1, ten=10).items()
    ]
    nodes = [
        helper.make_node('Conv', ['images', 'one'], ['x'], name='first'),
        helper.make_node('HardSwish', ['x'], ['y']),
        helper.make_node('Conv', ['y', 'ten'], ['z'], name='second'),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 100, 100])
        for name in ('images', 'z')
    ]
    graph = helper.make_graph(nodes, 'two', ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9)


def inputs():
    spread = np.linspace(-50, 5, 10_000, dtype=np.float32).reshape(1, 1, 100, 100)
    other = spread.copy()
    other[0, 0, -1, -1] = 105
    return [spread, other]


def test_ranges_are_means_and_end_where_nothing_changes(model):
    nodes = products_with_weights(model)
    assert nodes == ['first', 'second']
    ranges = activation_ranges(model, nodes, inputs())
    assert ranges[0.0]['images'] == pytest.approx((-50, 55))
    # Below -3 hard-swish is 0.
    assert ranges[0.0]['x'] == pytest.approx((-3, 55))
    assert ranges[1e-4]['images'] == pytest.approx((-50, 5), abs=0.02)
    # Its least value is -3 / 8.
    assert ranges[0.0]['y'] == pytest.approx((-0.375, 55), abs=1e-3)


def test_only_the_named_operators_are_quantized(model):
    nodes = products_with_weights(model)
    ranges = activation_ranges(model, nodes, inputs())[1e-4]
    quantizer = _Quantizer(onnx.shape_inference.infer_shapes(model), inputs()[:1], ranges, False)
    whole, one = quantizer.quantized(nodes), quantizer.quantized(['second'])
    assert [node.op_type for node in one.graph.node].count('QuantizeLinear') == 2
    assert [node.op_type for node in whole.graph.node].count('QuantizeLinear') == 4
    # With nodes in order, which NMS is put behind.
    onnx.checker.check_model(whole)
    errors = quantizer.errors_alone(nodes)
    assert 0 < quantizer.error(whole) < 0.05
    assert max(errors.values()) <= 2 * quantizer.error(whole)
