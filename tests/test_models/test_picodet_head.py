import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData

from mmanchor.models import PicoDetHead

SIZES = ((8, 6), (4, 3), (2, 2), (1, 1))
STRIDES = (8, 16, 32, 64)
TEST_CFG = dict(
    nms_pre=1000, score_thr=0.025, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100
)


def build(num_classes=3, **kwargs):
    head = PicoDetHead(
        num_classes,
        in_channels=8,
        feat_channels=8,
        train_cfg=dict(assigner=dict(type='mmanchor.VarifocalSimOTAAssigner')),
        test_cfg=TEST_CFG,
        **kwargs,
    )
    head.init_weights()
    return head


def random_outputs(num_classes=3, batch=2, dtype=torch.float32, bins=32):
    return [
        [torch.randn(batch, channels, *size, dtype=dtype).requires_grad_() for size in SIZES]
        for channels in (num_classes, bins)
    ]


def instances(boxes, labels):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
    )


MIXED = [
    instances([[3.0, 5.0, 40.0, 50.0], [10.0, 8.0, 14.0, 11.0], [2.0, 4.0, 41.0, 52.0]], [0, 2, 1]),
    instances([], []),
]


def flatten(maps):
    return torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)


def prior_table(dtype=torch.float64):
    return torch.tensor(
        [
            [(x + 0.5) * s, (y + 0.5) * s, s]
            for (h, w), s in zip(SIZES, STRIDES, strict=True)
            for y in range(h)
            for x in range(w)
        ],
        dtype=dtype,
    )


def decode(bins, priors):
    """(P, 32) -> (P, 4) in pixels."""
    distance = bins.reshape(-1, 4, 8).softmax(2) @ torch.arange(8, dtype=bins.dtype) * priors[:, 2:]
    return torch.cat((priors[:, :2] - distance[:, :2], priors[:, :2] + distance[:, 2:]), 1)


def giou_of(a, b):
    inter = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return inter / union, inter / union - (hull - union) / hull


def slow_losses(head, scores, boxes, truths):
    """The losses of the issue's formulas, prior by prior, in float64."""
    logits, bins = flatten(scores).double(), flatten(boxes).double()
    priors = prior_table()
    target = torch.zeros_like(logits)
    num_pos, weights, gious, dfls = 0, [], [], []
    for i, truth in enumerate(truths):
        found = head.assigner.assign(
            InstanceData(
                bboxes=decode(bins[i].detach(), priors).float(),
                scores=logits[i].detach().sigmoid().float(),
                priors=priors[:, [0, 1, 2, 2]].float(),
            ),
            truth,
        ).gt_inds
        positives = found.nonzero()[:, 0].tolist()
        num_pos += max(len(positives), 1) if len(truth) else 0
        for p in positives:
            box = truth.bboxes[found[p] - 1].double()[None]
            stride = priors[p, 2]
            pred = decode(bins[i, p][None], priors[p][None])
            iou, giou = giou_of(pred / stride, box / stride)
            target[i, p, truth.labels[found[p] - 1]] = float(iou.detach())
            weights.append(logits[i, p].detach().sigmoid().max())
            gious.append(1 - giou[0])
            center = priors[p, :2]
            sides = torch.cat((center - box[0, :2], box[0, 2:] - center))
            sides = (sides / stride).clamp(0, 6.9)
            log_p = bins[i, p].reshape(4, 8).log_softmax(1)
            low = sides.floor().long()
            part = sides - low
            index = torch.arange(4)
            dfls.append(-(log_p[index, low] * (1 - part) + log_p[index, low + 1] * part).sum())
    p = logits.sigmoid()
    weight = torch.where(target > 0, target, 0.75 * p**2)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    losses = dict(loss_cls=(entropy * weight).sum() / max(num_pos, 1))
    if weights:
        weights = torch.stack(weights)
        total = weights.sum().clamp(min=1)
        losses['loss_bbox'] = 2 * (weights * torch.stack(gious)).sum() / total
        losses['loss_dfl'] = 0.25 * (weights * torch.stack(dfls)).sum() / 4 / total
    return losses


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('zero_labels', [False, True])
def test_losses_and_gradients_agree_with_the_formulas(seed, zero_labels):
    torch.manual_seed(seed)
    head = build()
    scores, boxes = random_outputs()
    truths = copy.deepcopy(MIXED)
    if zero_labels:
        for truth in truths:
            truth.labels.zero_()
    losses = head.loss_by_feat(scores, boxes, truths, [{}, {}])
    expected = slow_losses(head, scores, boxes, truths)
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_dfl'}
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), abs=1e-5)
    outputs = [*scores, *boxes]
    ours = torch.autograd.grad(sum(losses.values()), outputs)
    slow = torch.autograd.grad(sum(expected.values()), outputs)
    for a, b in zip(ours, slow, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@pytest.mark.parametrize('truths', [[MIXED[1], MIXED[1]], [MIXED[1]]])
def test_without_boxes_box_losses_are_zero_but_connected(truths):
    head = build()
    scores, boxes = random_outputs(batch=len(truths))
    losses = head.loss_by_feat(scores, boxes, truths, [{}] * len(truths))
    assert float(losses['loss_bbox']) == float(losses['loss_dfl']) == 0
    p = flatten(scores).sigmoid()
    expected = 0.75 * (p**2 * -torch.log1p(-p)).sum()
    torch.testing.assert_close(losses['loss_cls'], expected)
    gradients = torch.autograd.grad(losses['loss_bbox'] + losses['loss_dfl'], boxes)
    assert not any(gradient.any() for gradient in gradients)


def test_an_image_whose_boxes_reach_no_prior_counts_one_positive():
    head = build()
    scores, boxes = random_outputs(batch=2)
    seen = instances([[3.0, 5.0, 40.0, 50.0]], [1])
    outside = instances([[900.0, 900.0, 910.0, 920.0]], [1])
    alone = head.loss_by_feat([x[:1] for x in scores], [x[:1] for x in boxes], [seen], [{}])
    num_pos = len(
        head._targets(
            flatten(scores).sigmoid().detach()[:1],
            torch.stack([decode(flatten(boxes)[0].detach().double(), prior_table()).float()]),
            prior_table()[:, [0, 1, 2, 2]].float(),
            [seen],
        )[0]
    )
    with_outside = head.loss_by_feat(scores, boxes, [seen, outside], [{}, {}])
    p = flatten(scores)[1].sigmoid()
    extra = 0.75 * (p**2 * -torch.log1p(-p)).sum()
    expected = (alone['loss_cls'] * num_pos + extra) / (num_pos + 1)
    torch.testing.assert_close(with_outside['loss_cls'], expected)


def test_one_step_gives_every_parameter_a_finite_gradient():
    head = build()
    maps = [torch.randn(2, 8, *size) for size in SIZES]
    for truths in (MIXED, [MIXED[1]] * 2):
        head.zero_grad()
        losses = head.loss_by_feat(*head(maps), truths, [{}, {}])
        sum(losses.values()).backward()
        for name, param in head.named_parameters():
            assert param.grad is not None, name
            assert param.grad.isfinite().all(), name


def test_half_precision_logits_are_scored_in_float32():
    torch.manual_seed(0)
    head = build()
    scores, boxes = random_outputs()
    half = [[x.detach().bfloat16() for x in maps] for maps in (scores, boxes)]
    full = [[x.float() for x in maps] for maps in half]
    ours = head.loss_by_feat(*half, MIXED, [{}, {}])
    for name, loss in head.loss_by_feat(*full, MIXED, [{}, {}]).items():
        assert ours[name].dtype == torch.float32
        assert torch.equal(ours[name], loss)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_boxes_are_decoded_in_float32_under_autocast(dtype):
    torch.manual_seed(0)
    head = build().eval()
    scores, boxes = random_outputs(batch=1)
    meta = dict(img_shape=(64, 48))
    (plain,) = head.predict_by_feat(scores, boxes, batch_img_metas=[meta], with_nms=False)
    expected = head.loss_by_feat(scores, boxes, MIXED[:1], [{}])
    with torch.autocast('cpu', dtype):
        (found,) = head.predict_by_feat(scores, boxes, batch_img_metas=[meta], with_nms=False)
        losses = head.loss_by_feat(scores, boxes, MIXED[:1], [{}])
    assert torch.equal(found.bboxes, plain.bboxes)
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss, msg=name)


def test_a_head_in_half_precision_decodes_in_float32():
    head = build().eval()
    scores, boxes = random_outputs(batch=1)
    half = [[x.detach().bfloat16() for x in maps] for maps in (scores, boxes)]
    meta = dict(img_shape=(64, 48))
    (found,) = head.predict_by_feat(
        *([x.float() for x in maps] for maps in half), batch_img_metas=[meta], with_nms=False
    )
    (ours,) = head.bfloat16().predict_by_feat(*half, batch_img_metas=[meta], with_nms=False)
    torch.testing.assert_close(ours.bboxes, found.bboxes, atol=1e-4, rtol=0)


def test_channels_are_class_logits_then_sides_in_order():
    head = build()
    torch.nn.init.zeros_(head.preds[0].weight)
    head.scales[0].scale.data.fill_(2.0)
    head.preds[0].bias.data = torch.arange(35.0)
    maps = [torch.randn(1, 8, *size) for size in SIZES]
    scores, boxes = head.eval()(maps)
    assert scores[0][0, :, 0, 0].tolist() == [0, 1, 2]
    assert boxes[0][0, :, 0, 0].tolist() == list(range(6, 70, 2))
    assert [tuple(x.shape[2:]) for x in boxes] == list(SIZES)


def test_worked_values_of_decoding():
    # All mass on bins 1, 2, 3, 4 of left, top, right, bottom; the prior at
    # row 1, column 2 of stride 16 has its center at (40, 24).
    head = build().eval()
    scores, boxes = ([torch.full((1, c, *size), -20.0) for size in SIZES] for c in (3, 32))
    scores[1][0, 2, 1, 2] = 2.0
    for side, bin_ in enumerate((1, 2, 3, 4)):
        boxes[1][0, side * 8 + bin_, 1, 2] = 40.0
    (found,) = head.predict_by_feat(scores, boxes, batch_img_metas=[dict(img_shape=(100, 85))])
    assert found.labels.tolist() == [2]
    torch.testing.assert_close(found.scores, torch.tensor([2.0]).sigmoid())
    # The right side, 40 + 48, is cut at the image's width.
    torch.testing.assert_close(found.bboxes, torch.tensor([[24.0, -8.0 + 8, 85.0, 88.0]]))


def test_boxes_are_given_in_the_original_image():
    head = build().eval()
    scores, boxes = random_outputs(batch=1)
    meta = dict(img_shape=(64, 48), scale_factor=(2.0, 0.5))
    (plain,) = head.predict_by_feat(scores, boxes, batch_img_metas=[meta])
    (scaled,) = head.predict_by_feat(scores, boxes, batch_img_metas=[meta], rescale=True)
    # Doubles are found after scaling, where overlaps are the same.
    torch.testing.assert_close(scaled.bboxes, plain.bboxes / torch.tensor([2.0, 0.5, 2.0, 0.5]))


def test_the_best_scores_of_the_image_are_kept_not_of_each_level():
    head = build().eval()
    scores, boxes = random_outputs(batch=1)
    meta = dict(img_shape=(64, 48))
    flat = flatten(scores)[0].sigmoid().flatten()
    for most in (1, 7, 50):
        cfg = dict(TEST_CFG, nms_pre=most)
        (found,) = head.predict_by_feat(
            scores, boxes, batch_img_metas=[meta], cfg=cfg, with_nms=False
        )
        torch.testing.assert_close(found.scores, flat.topk(most).values)
    (found,) = head.predict_by_feat(
        scores, boxes, batch_img_metas=[meta], cfg=dict(TEST_CFG, nms_pre=-1), with_nms=False
    )
    assert len(found) == int((flat > 0.025).sum())


def test_nothing_above_the_threshold_gives_no_boxes():
    head = build().eval()
    scores, boxes = ([torch.full((1, c, *size), -20.0) for size in SIZES] for c in (3, 32))
    (found,) = head.predict_by_feat(scores, boxes, batch_img_metas=[dict(img_shape=(64, 48))])
    assert found.bboxes.shape == (0, 4)


def test_scores_start_at_one_percent():
    head = build(num_classes=4)
    for pred in head.preds:
        torch.testing.assert_close(pred.bias[:4].sigmoid(), torch.full((4,), 0.01))
        assert not pred.bias[4:].any()
        assert float(pred.weight.std()) == pytest.approx(0.01, rel=0.3)


def test_pretrained_biases_are_kept(tmp_path):
    source = build()
    source.preds[0].bias.data.fill_(5.0)
    torch.save(source.state_dict(), tmp_path / 'head.pth')
    head = build(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'head.pth')))
    assert (head.preds[0].bias == 5).all()


@pytest.mark.parametrize(
    'width, convs, expected',
    [
        (96, 2, 4 * (2 * (96 * 25 + 96 * 96 + 4 * 96) + 97 * 112 + 1)),
        (128, 4, 4 * (4 * (128 * 25 + 128 * 128 + 4 * 128) + 129 * 112 + 1)),
    ],
)
def test_parameter_count(width, convs, expected):
    head = PicoDetHead(80, in_channels=width, feat_channels=width, stacked_convs=convs)
    assert sum(p.numel() for p in head.parameters()) == expected


def test_arguments_change_the_layers():
    head = PicoDetHead(
        2,
        in_channels=8,
        feat_channels=16,
        stacked_convs=1,
        kernel_size=3,
        strides=(8, 16),
        reg_max=4,
    )
    assert len(head.towers) == len(head.preds) == 2
    conv = head.towers[0][0].depthwise_conv.conv
    assert conv.kernel_size == (3, 3) and conv.in_channels == 8
    _, boxes = head([torch.rand(1, 8, 4, 4), torch.rand(1, 8, 2, 2)])
    assert boxes[0].shape == (1, 20, 4, 4)


def test_a_missing_level_is_an_error():
    with pytest.raises(ValueError, match='each of its 4 strides, got 3'):
        build()([torch.rand(1, 8, 4, 4)] * 3)


@pytest.mark.parametrize('shift', [0.0, -6.0])
def test_two_processes_equal_one_however_small_the_scores(monkeypatch, shift):
    # Gradients are averaged over processes; at a shift of -6 all scores
    # together are far below 1, as at the start of training.
    from mmanchor.models.dense_heads import picodet_head

    head = build()
    scores, boxes = random_outputs()
    scores = [(level + shift).detach() for level in scores]
    whole = head.loss_by_feat(scores, boxes, MIXED, [])

    def losses_of(image):
        parts = [[level[image : image + 1] for level in maps] for maps in (scores, boxes)]
        return head.loss_by_feat(*parts, MIXED[image : image + 1], [])

    counts = []
    monkeypatch.setattr(picodet_head, 'get_world_size', lambda: 2)
    monkeypatch.setattr(picodet_head, 'reduce_mean', lambda value: counts.append(value) or value)
    for image in (0, 1):
        losses_of(image)
    monkeypatch.setattr(picodet_head, 'reduce_mean', lambda value: sum(counts) / 2)
    first, second = losses_of(0), losses_of(1)
    for name, value in whole.items():
        torch.testing.assert_close((first[name] + second[name]) / 2, value)
