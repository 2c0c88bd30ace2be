"""The released classifier's weights give its logits."""

import re

import pytest
import torch
from deit_files import AnchorAttention, classifier, largest_difference, released_anchor_deit

from mmanchor.converters import arrays_of_torch, convert_anchor_deit
from mmanchor.models import LearnedAnchorAttention

PUBLISHED = {'tiny': 5_484_560, 'small': 20_676_176, 'base': 80_255_696}


def convert(theirs, ours):
    entries = arrays_of_torch(dict(model=theirs.state_dict()), 'a.pth')
    return convert_anchor_deit(entries, ours.state_dict())


def ours_of(num_anchors=30, **kwargs):
    return classifier('learned', True, num_anchors=num_anchors, **kwargs)


@pytest.mark.parametrize('num_anchors', (4, 30, 50))
def test_the_logits_are_the_same(num_anchors):
    theirs, ours = released_anchor_deit(num_anchors), ours_of(num_anchors)
    state, report = convert(theirs, ours)
    assert report.is_complete and not (report.adapted or report.made)
    ours.load_state_dict(state)
    assert largest_difference(ours, theirs) < 2e-5
    ours.backbone.switch_to_deploy()
    assert largest_difference(ours, theirs) < 2e-5


@torch.no_grad()
def test_the_whole_tiny_model_has_the_same_logits():
    theirs = released_anchor_deit(img_size=224, embed_dim=192, depth=12, num_classes=1000)
    ours = ours_of(num_classes=1000, arch='tiny', img_size=224)
    state, _ = convert(theirs, ours)
    ours.load_state_dict(state)
    image = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=2e-5)


@pytest.mark.parametrize('arch', PUBLISHED)
def test_the_number_of_parameters_is_the_published_one(arch):
    with torch.device('meta'):
        ours = ours_of(num_classes=1000, arch=arch, img_size=224)
    params = sum(param.numel() for param in ours.parameters())
    assert params == PUBLISHED[arch]


@pytest.mark.parametrize('width, heads', ((192, 3), (384, 6)))
@pytest.mark.parametrize('num_anchors', (30, 50))
@pytest.mark.parametrize('num_tokens', (197, 1000))
def test_outputs_and_gradients_of_the_attention_agree(width, heads, num_anchors, num_tokens):
    theirs = AnchorAttention(width, heads, num_anchors)
    ours = LearnedAnchorAttention(width, heads, num_anchors=num_anchors)
    ours.in_proj.load_state_dict(theirs.x_to_emb.state_dict())
    ours.proj.load_state_dict(theirs.to_out[0].state_dict())
    ours.anchors.data.copy_(theirs.dist_anchor_B.weight)
    first = torch.randn(1, num_tokens, width, requires_grad=True)
    second = first.detach().clone().requires_grad_()
    weight = torch.randn(1, num_tokens, width)
    outs = ours(first), theirs(second)
    for out in outs:
        (out * weight).sum().backward()
    torch.testing.assert_close(*outs, rtol=0, atol=2e-5)
    torch.testing.assert_close(first.grad, second.grad, rtol=0, atol=2e-5)
    torch.testing.assert_close(
        ours.anchors.grad, theirs.dist_anchor_B.weight.grad, rtol=0, atol=5e-5
    )


def test_positions_are_resized_and_reported():
    ours = ours_of(img_size=96)
    state, report = convert(released_anchor_deit(), ours)
    ours.load_state_dict(state)
    assert list(report.adapted) == ['backbone.pos_embed']


@pytest.mark.parametrize(
    'ours, message',
    [
        (dict(num_anchors=31), r'dist_anchor_B.weight: \(30, 16\) in the file, '),
        (dict(num_classes=9), 'model.head.num_classes=5'),
        (dict(distilled=False), r'left over in the file: 3 \(dist_token'),
        (dict(attention='softmax'), r'left over in the file: 2 .*dist_anchor_B'),
    ],
)
def test_what_does_not_fit_is_named(ours, message):
    ours = classifier(**{**dict(attention='learned', distilled=True), **ours})
    _, report = convert(released_anchor_deit(), ours)
    assert not report.is_complete
    assert re.search(message, report.problems())
