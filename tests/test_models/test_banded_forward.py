"""The trunk in bands of rows, against the trunk at once."""

from copy import deepcopy

import pytest
import torch

from mmanchor.analysis.memory import peak_memory
from mmanchor.models import AnchorFormer, Sparsifiner
from mmanchor.models.layers.banded_forward import PositionRows, split_rows
from mmanchor.models.layers.token_grid import resize_position_embedding

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, mlp_ratio=2)
LEARNED = 'mmanchor.LearnedAnchorAttention'


def trunk(arch=ARCH, **kwargs):
    torch.manual_seed(0)
    model = AnchorFormer(arch, **dict(dict(img_size=32, patch_size=4, num_anchors=5), **kwargs))
    for param in model.parameters():
        torch.nn.init.normal_(param, std=0.3)
    return model.double().eval()


def in_bands(model, chunk_tokens):
    model = deepcopy(model)
    model.chunk_tokens = chunk_tokens
    return model


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(deploy=True, out_indices=(0, 2)),
        dict(extra_tokens=('cls',), out_type='tokens', out_indices=(0, 1, 2)),
        dict(extra_tokens=('cls', 'dist'), out_type='avg_featmap'),
        dict(attention=dict(type=LEARNED, depthwise=True, qkv_bias=True)),
        dict(
            attention=dict(type=LEARNED, depthwise=True),
            deploy=True,
            extra_tokens=('cls',),
            out_indices=(0, 2),
        ),
        dict(attention=dict(type=LEARNED, per_head_anchors=True), norm_cfg=None),
        dict(attention=dict(type=LEARNED, value_residual=True, learn_scale=True, qkv_bias=True)),
        dict(
            attention=dict(
                type=LEARNED,
                value_residual=True,
                learn_scale=True,
                depthwise=True,
                anchor_bias=True,
                anchor_links=True,
            ),
            deploy=True,
            extra_tokens=('cls',),
        ),
    ],
)
@pytest.mark.parametrize('chunk_tokens', [1, 27, 10**6])
def test_bands_change_nothing(kwargs, chunk_tokens):
    model = trunk(**kwargs)
    images = torch.rand(2, 3, 30, 37, dtype=torch.float64)  # 8 x 10, padded
    with torch.no_grad():
        want = model(images)
        got = in_bands(model, chunk_tokens)(images)
    for a, b in zip(want, got, strict=True):
        assert type(a) is type(b)
        pairs = zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]
        for x, y in pairs:
            assert torch.allclose(x, y, rtol=0, atol=1e-11)


def test_a_map_of_one_token():
    model = trunk(out_indices=(0, 2))
    images = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        for a, b in zip(model(images), in_bands(model, 1)(images), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-11)


def test_the_image_is_left_alone():
    images = torch.rand(1, 3, 30, 37, dtype=torch.float64)
    before = images.clone()
    with torch.no_grad():
        in_bands(trunk(), 20)(images)
    assert torch.equal(images, before)


def test_gradients_take_the_plain_way():
    plain = trunk()
    banded = in_bands(plain, 10)
    images = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    for model in (plain, banded):
        model(images)[0].square().sum().backward()
    for name, param in plain.named_parameters():
        assert torch.equal(banded.get_parameter(name).grad, param.grad), name


@torch.no_grad()
def test_training_drops_whole_paths_of_an_image():
    plain = trunk(drop_path_rate=0.9, drop_rate=0.5)
    banded = in_bands(plain, 10)
    images = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    at_test = plain(images)[0]
    outs = []
    for model in (plain.train(), banded.train()):
        torch.manual_seed(1)
        outs.append(model(images)[0])
    assert torch.equal(outs[0], outs[1])
    assert not torch.allclose(outs[1], at_test)


def test_bands_need_the_memory_of_the_tokens_and_of_one_band():
    model = trunk(dict(ARCH, embed_dims=64)).float()
    images = torch.rand(1, 3, 256, 256)  # 64 x 64 tokens of 256 bytes
    with torch.no_grad():
        plain = peak_memory(lambda: model(images))
        model.chunk_tokens = 64
        banded = peak_memory(lambda: model(images))
    tokens = 64 * 64 * 64 * 4
    assert plain > 4 * tokens
    # The tokens, which are returned, and a quarter for how they are shared
    # out: 2 heads of 5 anchors, padded to 8.
    assert 1.25 * tokens < banded < 1.5 * tokens


@pytest.mark.parametrize('target', [(2, 3), (5, 4), (9, 13)])
def test_positions_by_rows_are_the_resized_embedding(target):
    embedding = torch.rand(1, 1 + 6, 8)
    want = resize_position_embedding(embedding, (2, 3), target, 1)[:, 1:]
    rows = PositionRows(embedding, (2, 3), target, 1)
    got = torch.cat([rows(i, i + 1) for i in range(target[0])], dim=1)
    assert torch.allclose(got, want, rtol=0, atol=1e-6)


def test_bands_are_whole_rows_and_cover_the_map():
    assert split_rows((4, 10), 5) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert split_rows((3, 10), 1000) == [(0, 3)]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(chunk_tokens=0), 'chunk_tokens must be at least 1'),
        (
            dict(chunk_tokens=9, attention='softmax'),
            'needs LearnedAnchorAttention.*SoftmaxAttention',
        ),
        (dict(chunk_tokens=9, attention='token'), 'TokenAnchorAttention'),
    ],
)
def test_what_cannot_be_done_in_bands_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        AnchorFormer(ARCH, **kwargs)


def test_sparsifiner_has_no_bands():
    with pytest.raises(TypeError, match='chunk_tokens'):
        Sparsifiner('tiny', chunk_tokens=9)
