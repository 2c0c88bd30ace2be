"""A segmentor in bands against its plain forward."""

import pytest
import torch
from tiny_segmentors import HEADS, plain, segmentor

from mmanchor.inference.large.forward import LabelRows, trunk_steps, trunk_work
from mmanchor.inference.large.networks import objection
from mmanchor.inference.large.row_maps import Local, Resized, Stored, pooled
from mmanchor.inference.large.token_maps import TokenMaps
from mmanchor.models.layers.banded_forward import layout_of


def in_bands(model, image, chunk_tokens, rows):
    size = image.shape[2:]
    maps = TokenMaps(layout_of(model.backbone, size), model.backbone.out_indices, 'cpu')
    steps = trunk_steps(model.backbone, size, lambda a, b: image[:, :, a:b], maps, chunk_tokens)
    assert len(list(steps)) == trunk_work(model.backbone, size, chunk_tokens)
    labels = LabelRows(model, maps, size)
    pieces = []
    for first in range(0, size[0], rows or size[0]):
        pieces += labels.logits(first, min(first + (rows or size[0]), size[0]))
    return torch.cat(pieces, dim=2)


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('size', [(64, 64), (95, 141), (16, 50), (163, 33)])
def test_logits_equal_those_of_the_plain_forward(head, align_corners, size):
    model = segmentor(head, align_corners)
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    want = plain(model, image)
    assert want.std() > 0.1
    for chunk_tokens, rows in [(1, 1), (7, 5), (20, 37), (1000, None)]:
        got = in_bands(model, image, chunk_tokens, rows)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize('head', HEADS)
def test_labels_in_float32(head):
    model = segmentor(head, dtype=torch.float32, extra_tokens=('cls',))
    image = torch.rand(1, 3, 150, 201)
    want = plain(model, image)
    got = in_bands(model, image, 30, 16)
    scale = want.abs().max()
    torch.testing.assert_close(got / scale, want / scale, rtol=0, atol=1e-5)
    first, second = want.topk(2, dim=1).values.unbind(1)
    clear = first - second > 1e-4 * scale
    assert (got.argmax(1) == want.argmax(1))[clear].all()


def test_one_channel_is_a_threshold():
    model = segmentor('fpn', dtype=torch.float32, classes=2)
    model.decode_head.conv_seg = torch.nn.Conv2d(8, 1, 1)
    model.decode_head.threshold = 0.4
    image = torch.rand(1, 3, 40, 40)
    maps = TokenMaps(layout_of(model.backbone, (40, 40)), model.backbone.out_indices, 'cpu')
    list(trunk_steps(model.backbone, (40, 40), lambda a, b: image[:, :, a:b], maps))
    got = LabelRows(model, maps, (40, 40))(0, 40)
    assert torch.equal(got, (plain(model, image).sigmoid() > 0.4).long()[0, 0])


@pytest.mark.parametrize('mode', ['nearest', 'bilinear'])
@pytest.mark.parametrize('target', [1, 5, 13, 17, 40, 611])
def test_rows_are_resized_as_torch_does(mode, target):
    x = torch.rand(1, 2, 13, 6)
    for corners in [False, True] if mode == 'bilinear' else [None]:
        want = torch.nn.functional.interpolate(x, (target, 9), mode=mode, align_corners=corners)
        read = Resized(Stored.of(x), (target, 9), mode, corners).tap()
        got = torch.cat([read(row, min(row + 3, target)) for row in range(0, target, 3)], dim=2)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


def test_pooling_in_one_pass():
    x = torch.rand(1, 3, 11, 7, dtype=torch.float64)
    sizes = (1, 2, 3, 6)
    for got, size in zip(pooled(Stored.of(x), sizes, 4), sizes, strict=True):
        want = torch.nn.functional.adaptive_avg_pool2d(x, size)
        torch.testing.assert_close(got, want)


def test_no_row_is_computed_twice():
    asked = []

    def module(x):
        asked.append(x.shape[2])
        return x

    source = Local(Stored.of(torch.rand(1, 1, 40, 3)), module)
    blur = torch.nn.Conv2d(1, 1, 3, padding=1)
    read = Local(source, blur, 1).tap()
    for row in range(0, 40, 10):
        read(row, row + 10)
    assert sum(asked) == 40


@pytest.mark.parametrize(
    ('change', 'part'),
    [
        (dict(attention='softmax'), 'attention must be LearnedAnchorAttention'),
        (dict(out_type='avg_featmap'), "out_type must be 'featmap'"),
    ],
)
def test_what_cannot_run_in_bands_is_said(change, part):
    assert part in objection(segmentor('uper', **change))


def test_a_norm_over_the_image_is_said():
    model = segmentor('uper')
    assert objection(model) is None
    model.decode_head.bottleneck.conv.stride = (2, 2)
    assert 'keeps the size' in objection(model)
    model = segmentor('fpn')
    model.neck[0].levels[0][1] = torch.nn.GroupNorm(2, 12)
    assert 'batch normalization' in objection(model)
