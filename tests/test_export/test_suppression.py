"""NMS as ONNX operators finds what mmdet's own postprocessing finds."""

import numpy as np
import onnx
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.models.utils import filter_scores_and_topk
from onnx import TensorProto, helper

from mmanchor.export.suppression import OUTPUTS, Suppression, add_suppression

ort = pytest.importorskip('onnxruntime')
CONFIG = Suppression(score_thr=0.3, nms_pre=60, iou_threshold=0.5, max_per_img=20)


def identity_model(batch='batch'):
    """A graph whose outputs are its inputs."""
    shapes = dict(boxes=[batch, 'priors', 4], scores=[batch, 'classes', 'priors'])
    nodes = [helper.make_node('Identity', [f'{name}_in'], [name]) for name in shapes]
    values = {
        end: [
            helper.make_tensor_value_info(f'{name}{end}', TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        ]
        for end in ('_in', '')
    }
    graph = helper.make_graph(nodes, 'identity', values['_in'], values[''])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    model.ir_version = 9
    return model


def run(model, boxes, scores):
    session = ort.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return dict(
        zip(OUTPUTS, session.run(None, dict(boxes_in=boxes, scores_in=scores)), strict=True)
    )


def candidates(batch=2, classes=3, priors=80, seed=0):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (batch, priors, 2))
    size = random.uniform(5, 30, (batch, priors, 2))
    boxes = np.concatenate((corner, corner + size), axis=2).astype(np.float32)
    return boxes, random.uniform(0, 1, (batch, classes, priors)).astype(np.float32)


def mmdet_results(boxes, scores, config):
    """One image by mmdet's functions: boxes, scores, labels, best first."""
    scores, labels, _, kept = filter_scores_and_topk(
        torch.from_numpy(scores).T.contiguous(),
        config.score_thr,
        config.nms_pre if config.nms_pre > 0 else scores.size,
        dict(boxes=torch.from_numpy(boxes)),
    )
    nms = dict(type='nms', iou_threshold=config.iou_threshold)
    found, index = batched_nms(kept['boxes'], scores, labels, nms)
    found, index = found[: config.max_per_img], index[: config.max_per_img]
    return found[:, :4].numpy(), found[:, 4].numpy(), labels[index].numpy()


@pytest.mark.parametrize('nms_pre', [60, -1])
@pytest.mark.parametrize('seed', range(3))
def test_boxes_are_those_of_mmdet(seed, nms_pre):
    config = Suppression(0.3, nms_pre, 0.5, 20)
    boxes, scores = candidates(seed=seed)
    got = run(add_suppression(identity_model(), config), boxes, scores)
    for image in range(len(boxes)):
        wanted = mmdet_results(boxes[image], scores[image], config)
        count = got['counts'][image]
        assert count == len(wanted[0])
        np.testing.assert_allclose(got['boxes'][image, :count], wanted[0], atol=1e-4)
        np.testing.assert_array_equal(got['scores'][image, :count], wanted[1])
        np.testing.assert_array_equal(got['labels'][image, :count], wanted[2])


def test_a_prior_can_be_of_two_classes():
    boxes = np.array([[[0, 0, 10, 10]]], np.float32)
    scores = np.array([[[0.9], [0.8], [0.1]]], np.float32)
    got = run(add_suppression(identity_model(), CONFIG), boxes, scores)
    assert got['counts'].tolist() == [2]
    assert got['labels'][0, :2].tolist() == [0, 1]


def test_no_box_above_the_threshold_counts_zero():
    boxes, scores = candidates(batch=1)
    got = run(add_suppression(identity_model(), CONFIG), boxes, scores * 0.2)
    assert got['counts'].tolist() == [0]
    assert not got['scores'].any()


def test_images_of_a_batch_do_not_meet():
    boxes, scores = candidates(batch=3)
    model = add_suppression(identity_model(), CONFIG)
    together = run(model, boxes, scores)
    for i in range(3):
        alone = run(model, boxes[i : i + 1], scores[i : i + 1])
        count = alone['counts'][0]
        assert together['counts'][i] == count
        np.testing.assert_array_equal(together['boxes'][i, :count], alone['boxes'][0, :count])


def test_outputs_are_named():
    model = add_suppression(identity_model(), CONFIG)
    onnx.checker.check_model(model)
    assert tuple(value.name for value in model.graph.output) == OUTPUTS
