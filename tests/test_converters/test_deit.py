"""A DeiT of timm's gives the same logits, or all but its queries."""

import re

import pytest
import torch
from deit_files import SOFTMAX, classifier, largest_difference, timm_vit
from timm import create_model

from mmanchor.converters import arrays_of_torch, convert_deit

ANCHORS = 'mmanchor.LearnedAnchorAttention'


def convert(saved, ours, **kwargs):
    entries = arrays_of_torch(saved, 'a.pth')
    return convert_deit(entries, ours.state_dict(), **kwargs)


def converted(saved, ours, **kwargs):
    state, report = convert(saved, ours, **kwargs)
    assert report.is_complete, report.problems()
    ours.load_state_dict(state)
    return ours, report


@pytest.mark.parametrize('distilled', (False, True))
def test_the_softmax_twin_has_the_same_logits(distilled):
    theirs = timm_vit(distilled)
    ours, report = converted(theirs.state_dict(), classifier(SOFTMAX, distilled))
    assert len(report.converted) == len(theirs.state_dict())
    assert not (report.adapted or report.skipped or report.made)
    assert largest_difference(ours, theirs) < 2e-5


@torch.no_grad()
@pytest.mark.parametrize(
    'name, distilled', [('deit_tiny_patch16_224', False), ('deit_tiny_distilled_patch16_224', True)]
)
def test_models_of_the_published_size_have_the_same_logits(name, distilled):
    theirs = create_model(name).eval()
    ours = classifier(SOFTMAX, distilled, num_classes=1000, arch='tiny', img_size=224)
    ours, _ = converted(theirs.state_dict(), ours)
    image = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=2e-5)


def test_a_training_checkpoint_gives_its_weights():
    theirs = timm_vit()
    saved = dict(
        model={f'module.{k}': v for k, v in theirs.state_dict().items()},
        optimizer=dict(state={}),
        epoch=299,
    )
    ours, report = converted(saved, classifier(SOFTMAX))
    assert largest_difference(ours, theirs) < 2e-5
    assert len(report.skipped) == 2
    assert 'training run' in report.skipped['beside the weights: epoch']


@torch.no_grad()
@pytest.mark.parametrize('per_head', (False, True))
@pytest.mark.parametrize('qkv_bias', (False, True))
def test_anchors_take_the_place_of_queries_only(per_head, qkv_bias):
    theirs = timm_vit(distilled=True)
    attention = dict(
        type=ANCHORS,
        num_anchors=7,
        per_head_anchors=per_head,
        qkv_bias=qkv_bias,
        depthwise=True,
        value_residual=True,
        learn_scale=True,
        anchor_bias=True,
        anchor_links=True,
    )
    source = theirs.state_dict()
    before = {name: value.clone() for name, value in source.items()}
    ours, report = converted(source, classifier(attention, True))
    for name, value in source.items():
        assert torch.equal(value, before[name])
    x = torch.randn(2, 6, 48)
    for block, layer in zip(theirs.blocks, ours.backbone.layers, strict=True):
        keys, values = layer.attn.in_proj(x).chunk(2, dim=-1)
        _, wanted_keys, wanted = block.attn.qkv(x).chunk(3, dim=-1)
        if not qkv_bias:
            key_bias, value_bias = block.attn.qkv.bias.chunk(3)[1:]
            wanted_keys = wanted_keys - key_bias
            # A mean of values, projected, has the value bias in it again.
            wanted = layer.attn.proj(values.mean(dim=1))
            values = block.attn.proj(values.mean(dim=1) + value_bias)
        torch.testing.assert_close(keys, wanted_keys)
        torch.testing.assert_close(values, wanted)
        torch.testing.assert_close(layer.mlp(x) - x, block.mlp(x), rtol=1e-4, atol=1e-5)
        assert not layer.attn.depthwise.weight.any()
        assert not layer.attn.value_residual.any() and not layer.attn.anchor_bias.any()
        torch.testing.assert_close(layer.attn.links[0], 5 * torch.eye(7))
        assert (layer.attn.score_scale == 1).all()
    torch.testing.assert_close(ours.head.layers.head_dist.weight, theirs.head_dist.weight)
    folds = [name for name in report.adapted if name.endswith('proj.bias')]
    assert len(report.skipped) == (0 if qkv_bias else 2)
    assert len(folds) == 2
    assert {name.removesuffix('.anchors') for name in report.adapted if 'anchors' in name} == {
        f'backbone.layers.{i}.attn' for i in (0, 1)
    }
    assert set(report.converted) <= set(source)


def test_uniform_attention_converts_exactly():
    # All queries and keys zero: softmax and anchors both take the mean.
    theirs = timm_vit()
    for block in theirs.blocks:
        for param in (block.attn.qkv.weight, block.attn.qkv.bias):
            torch.nn.init.zeros_(param.data[:96])
    ours, _ = converted(theirs.state_dict(), classifier('learned'))
    assert largest_difference(ours, theirs) < 2e-5


def test_given_anchors_are_taken():
    ours = classifier(dict(type=ANCHORS, num_anchors=4))
    given = {f'backbone.layers.{i}.attn': torch.rand(4, 16) for i in range(2)}
    ours, report = converted(timm_vit().state_dict(), ours, anchors=given)
    for i, layer in enumerate(ours.backbone.layers):
        assert torch.equal(layer.attn.anchors, given[f'backbone.layers.{i}.attn'])
    assert 'given images' in report.adapted['backbone.layers.0.attn.anchors']


def test_conversion_is_repeatable():
    saved = timm_vit().state_dict()
    first, _ = convert(saved, classifier('learned'))
    torch.rand(3)
    second, _ = convert(saved, classifier('learned'))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_positions_are_resized_and_reported():
    ours, report = converted(timm_vit().state_dict(), classifier(SOFTMAX, img_size=96))
    assert report.adapted == {'backbone.pos_embed': 'resized from 4 x 4 to 6 x 6'}
    assert ours.backbone.pos_embed.shape == (1, 37, 48)


def test_a_position_embedding_of_nothing_is_reported():
    saved = dict(timm_vit().state_dict(), pos_embed=torch.ones(1, 17, 0))
    _, report = convert(saved, classifier(SOFTMAX, img_size=96))
    assert list(report.mismatched) == ['pos_embed']


@pytest.mark.parametrize(
    'change, message',
    [
        (
            dict(num_classes=7),
            r'head.weight: \(7, 48\) in the file, \(5, 48\) in '
            r'the model; for 7 classes give --cfg-options model.head.num_classes=7',
        ),
        (dict(depth=3), r'left over in the file: 12 \(blocks.2.norm1.weight'),
        (dict(depth=1), r'missing for the model: 1[23] \(backbone.layers.1.norm1'),
        (dict(embed_dim=24), r"'blocks.0.attn.qkv.weight': '\(72, 24\) in the file"),
        (dict(patch_size=8), r'patch_embed.proj.weight: \(48, 3, 8, 8\) in'),
        (dict(qkv_bias=False), 'missing for the model: 2 '),
        (dict(qk_norm=True), 'left over in the file: 8 .*q_norm'),
        (dict(init_values=0.1), 'left over in the file: 4 .*ls1.gamma'),
        (dict(global_pool='avg'), 'fc_norm'),
        (dict(distilled=True), r'left over in the file: 3 \(dist_token'),
    ],
)
@pytest.mark.parametrize('kind', (ANCHORS, SOFTMAX['type']))
def test_what_does_not_fit_is_named(kind, change, message):
    ours = classifier(dict(type=kind, qkv_bias=True))
    _, report = convert(timm_vit(**change).state_dict(), ours)
    assert not report.is_complete
    text = f'{report.problems()} {report.mismatched} {report.unmatched}'
    assert re.search(message, text)
