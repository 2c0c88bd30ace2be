"""Non-maximum suppression as ONNX operators, put behind a graph of boxes."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OUTPUTS = ('boxes', 'scores', 'labels', 'counts')


@dataclass(frozen=True)
class Suppression:
    """Thresholds of ``test_cfg``.

    Args:
        score_thr: Candidates, pairs of a prior and a class, score above this.
        nms_pre: Best candidates of an image that are kept; -1 keeps all.
        iou_threshold: A box goes if its IoU with a better one of its class
            exceeds this.
        max_per_img: Boxes given for each image.
    """

    score_thr: float
    nms_pre: int
    iou_threshold: float
    max_per_img: int


def add_suppression(model: onnx.ModelProto, config: Suppression) -> onnx.ModelProto:
    """Let a graph that gives all boxes and scores give the best ones.

    Args:
        model: With outputs ``boxes`` (B, P, 4) and ``scores`` (B, C, P).
        config: The thresholds.

    Returns:
        The model with outputs ``boxes`` (B, K, 4), ``scores`` (B, K) in
        falling order, ``labels`` (B, K), int64, and ``counts`` (B,), int64:
        how many of the K = ``max_per_img`` rows of an image are boxes.
    """
    graph = model.graph
    names = {'boxes': 'all_boxes', 'scores': 'all_scores'}
    for node in graph.node:
        for words in (node.input, node.output):
            for i, word in enumerate(words):
                words[i] = names.get(word, word)
    batch = graph.output[0].type.tensor_type.shape.dim[0]
    tail = _Tail()
    kept = tail.best('all_scores', config.nms_pre)
    limit = config.nms_pre if config.nms_pre > 0 else np.iinfo(np.int32).max
    chosen = tail.op(
        'NonMaxSuppression',
        'all_boxes',
        kept,
        tail.const(np.array([limit], np.int64)),
        tail.const(np.array([config.iou_threshold], np.float32)),
        tail.const(np.array([config.score_thr], np.float32)),
    )  # (N, 3): image, class, prior
    shape = tail.op('Shape', 'all_scores')
    zeros = tail.op(
        'ConstantOfShape', shape, value=numpy_helper.from_array(np.zeros(1, np.float32))
    )
    left = tail.op('ScatterND', zeros, chosen, tail.op('GatherND', 'all_scores', chosen))
    flat = tail.op('Reshape', left, tail.const(np.array([0, -1], np.int64)))
    num = tail.smaller(tail.size(flat), config.max_per_img)
    tail.named('TopK', (flat, num), ('scores', 'places'), axis=1)
    priors = tail.op('Slice', shape, *(tail.const(np.array([value], np.int64)) for value in (2, 3)))
    tail.named('Div', ('places', priors), ('labels',))
    prior = tail.op('Mod', 'places', priors)
    prior = tail.op('Unsqueeze', prior, tail.const(np.array([2], np.int64)))
    tail.named('GatherND', ('all_boxes', prior), ('boxes',), batch_dims=1)
    found = tail.op('Greater', 'scores', tail.const(np.array(0, np.float32)))
    found = tail.op('Cast', found, to=TensorProto.INT64)
    axis = tail.const(np.array([1], np.int64))
    tail.named('ReduceSum', (found, axis), ('counts',), keepdims=0)

    graph.node.extend(tail.nodes)
    graph.initializer.extend(tail.constants)
    del graph.output[:]
    size = config.max_per_img
    kinds = dict(zip(OUTPUTS, ([size, 4], [size], [size], []), strict=True))
    for name, rest in kinds.items():
        kind = TensorProto.FLOAT if name in ('boxes', 'scores') else TensorProto.INT64
        first = batch.dim_param or batch.dim_value
        graph.output.append(helper.make_tensor_value_info(name, kind, [first, *rest]))
    onnx.checker.check_model(model)
    return model


class _Tail:
    """Nodes and constants that are added, with names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def const(self, value: np.ndarray) -> str:
        name = f'suppression_constant_{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes) -> str:
        name = f'suppression_{len(self.nodes)}'
        self.named(kind, inputs, (name,), **attributes)
        return name

    def named(self, kind: str, inputs, outputs, **attributes) -> None:
        name = f'suppression_node_{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))

    def size(self, flat: str) -> str:
        """Columns of a matrix, (1,)."""
        ends = (self.const(np.array([value], np.int64)) for value in (1, 2))
        return self.op('Slice', self.op('Shape', flat), *ends)

    def smaller(self, number: str, most: int) -> str:
        return self.op('Min', number, self.const(np.array([most], np.int64)))

    def best(self, scores: str, most: int) -> str:
        """Scores of which all but the best ``most`` of an image are zero."""
        if most <= 0:
            return scores
        flat = self.op('Reshape', scores, self.const(np.array([0, -1], np.int64)))
        top = self.op('TopK', flat, self.smaller(self.size(flat), most), axis=1)
        self.nodes[-1].output.append(f'{top}_places')
        last = self.op('ReduceMin', top, self.const(np.array([1], np.int64)), keepdims=1)
        good = self.op('GreaterOrEqual', flat, last)
        kept = self.op('Where', good, flat, self.const(np.array(0, np.float32)))
        return self.op('Reshape', kept, self.op('Shape', scores))
