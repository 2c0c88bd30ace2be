"""An exported file, made by hand: no exporter has to run."""

import json

import onnx
from onnx import TensorProto, helper

METADATA = dict(
    format_version=1,
    task='classification',
    results='logits',
    classes=['blue', 'green', 'red'],
    input=dict(name='images', size=[8, 8], open_axes=['batch'], normalized_inside=True),
    resize=[dict(op='resize', scale=[8, 8], keep_ratio=False, backend='cv2')],
    outputs=['logits'],
)


def write(path, metadata=METADATA):
    """A classifier whose logits are the means of the channels."""
    nodes = [
        helper.make_node('Cast', ['images'], ['x'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['x', 'axes'], ['logits'], keepdims=0),
    ]
    axes = onnx.helper.make_tensor('axes', TensorProto.INT64, [2], [2, 3])
    graph = helper.make_graph(
        nodes,
        'means',
        [helper.make_tensor_value_info('images', TensorProto.UINT8, ['batch', 3, 8, 8])],
        [helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['batch', 3])],
        [axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    model.ir_version = 9
    if metadata is not None:
        entry = model.metadata_props.add()
        entry.key = 'mmanchor'
        entry.value = metadata if isinstance(metadata, str) else json.dumps(metadata)
    onnx.save(model, str(path))
    return path
