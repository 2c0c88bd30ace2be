"""Sparsifiner as a backbone: budgets, pruning, sizes, losses."""

import math

import pytest
import torch
from torch import nn

from mmanchor.models.backbones import AnchorFormer, Sparsifiner
from mmanchor.registry import MODELS

ARCH = dict(embed_dims=32, num_layers=4, num_heads=2, mlp_ratio=2)
PRUNING = dict(extra_tokens=('cls',), prune_after=(1, 2), token_keep_rates=(0.6, 0.4))


def build(**kwargs):
    """Random weights that make attention far from even."""
    kwargs = dict(arch=ARCH, img_size=64) | kwargs
    model = Sparsifiner(**kwargs).eval()
    for name, param in model.named_parameters():
        std = 0.02 if name.endswith('.basis') else 0.2
        nn.init.normal_(param, mean=float('norm' in name), std=std)
    return model


def largest(scores, count):
    """Mask of the ``count`` largest along the last axis."""
    order = scores.argsort(dim=-1, descending=True)[..., :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order, True)


def attend_to_zeroed(layer, x, alive):
    """The release's way: pruned tokens stay, as zeros, and are masked.

    One image, one extra token; ``alive`` (N, ) says which tokens are left.
    """
    attn, parts = layer.attn, layer.attn.predictor
    q, k, v = (
        part.unflatten(1, (2, 16)).transpose(0, 1) * alive[:, None]
        for part in attn.in_proj(x).chunk(3, dim=1)
    )
    small_q = parts.query_proj(q) * alive[:, None]
    small_k = parts.key_proj(k) * alive[:, None]
    logits = small_q @ (small_k.transpose(1, 2) @ parts.compress) / 2**0.5
    weights = logits.softmax(-1)
    weights = weights * largest(weights, parts.num_coefficients)
    basis = parts.basis.abs()
    basis = torch.where(basis > parts.threshold, basis, torch.zeros(()))
    scores = (weights @ basis.T).masked_fill(~alive, -math.inf)
    budget = math.ceil(attn.keep_rate * len(x))
    if not alive.all():
        budget = min(budget, int(alive.sum()) - 1)
    mask = largest(scores, budget)
    mask[:, 0] = True
    shares = (q @ k.transpose(1, 2) / 4).masked_fill(~mask, -math.inf)
    shares = shares.softmax(-1)
    return attn.proj((shares @ v).transpose(0, 1).flatten(1)), shares


def class_token_slowly(model, image):
    x, _ = model.patch_embed(image)
    x = (torch.cat((model.cls_token, x), 1) + model.pos_embed)[0]
    alive = torch.ones(len(x), dtype=torch.bool)
    for layer in model.layers:
        mixed, shares = attend_to_zeroed(layer, layer.norm1(x), alive)
        x = x + mixed
        x = layer.mlp(layer.norm2(x), identity=x)
        if layer.token_keep_rate < 1:
            scores = shares[:, 0].mean(0).masked_fill(~alive, -math.inf)
            scores[0] = -math.inf
            count = math.ceil(layer.token_keep_rate * (len(x) - 1))
            alive = largest(scores, count)
            alive[0] = True
        x = x * alive[:, None]
    return model.norm(x)[0]


@pytest.mark.parametrize('execution', ['masked', 'gathered'])
@pytest.mark.parametrize('pruning', [dict(extra_tokens=('cls',)), PRUNING])
@torch.no_grad()
def test_left_out_tokens_count_as_the_zeros_of_the_release(execution, pruning):
    model = build(
        **pruning,
        execution=execution,
        out_type='tokens',
        basis_threshold=0.0,  # which of equal scores are kept is torch's choice
        keep_rates=(0.1, 0.3, 0.8, 1.0),
    ).double()
    for _ in range(3):
        image = torch.randn(1, 3, 64, 64).double()
        torch.testing.assert_close(model(image)[0][0], class_token_slowly(model, image))


@torch.no_grad()
def test_the_class_token_alone_is_that_of_the_tokens():
    model = build(**PRUNING, out_type='tokens')
    x = torch.randn(2, 3, 64, 64)
    tokens = model(x)[0]
    model.out_type = 'cls_token'
    assert torch.equal(model(x)[0], tokens)


@pytest.mark.parametrize('extra', [(), ('cls',), ('cls', 'dist')])
def test_all_kept_is_a_plain_vision_transformer(extra):
    sparse = build(keep_rates=1.0, extra_tokens=extra)
    plain = AnchorFormer(
        ARCH,
        img_size=64,
        extra_tokens=extra,
        attention=dict(type='mmanchor.SoftmaxAttention', qkv_bias=True),
    ).eval()
    missing, extra = plain.load_state_dict(sparse.state_dict(), strict=False)
    assert not missing and all('.predictor.' in name for name in extra)
    x = torch.rand(1, 3, 64, 80)
    torch.testing.assert_close(sparse(x), plain(x))


@pytest.mark.parametrize('size', [(64, 64), (96, 50), (16, 16)])
@pytest.mark.parametrize(
    'kwargs',
    [
        dict(out_indices=(1, 3)),
        dict(out_indices=(0, 2), extra_tokens=('cls', 'dist')),
        dict(out_indices=(1, 3), **PRUNING),
    ],
)
def test_maps_of_any_image_size(size, kwargs):
    maps = build(**kwargs)(torch.rand(2, 3, *size))
    grid = tuple(-(-side // 16) for side in size)
    assert [each.shape for each in maps] == [(2, 32, *grid)] * 2


def test_images_of_a_batch_are_independent():
    model, x = build(**PRUNING), torch.rand(3, 3, 64, 64)
    alone = torch.cat([model(each[None])[0] for each in x])
    torch.testing.assert_close(model(x)[0], alone)


def test_maps_show_pruned_patches_as_they_were():
    kwargs = dict(PRUNING, prune_after=(1,), token_keep_rates=(0.5,))
    model = build(out_indices=(1, 3), final_norm=False, **kwargs)
    early, late = (each[0].flatten(1) for each in model(torch.rand(1, 3, 64, 64)))
    same = (early == late).all(dim=0)
    assert same.sum() == 8  # half of 4 x 4


def test_the_last_norm_covers_pruned_patches():
    plain = build(final_norm=False, **PRUNING)
    model = build(**PRUNING)
    model.load_state_dict(plain.state_dict(), strict=False)
    x = torch.rand(1, 3, 64, 64)
    want = model.norm(plain(x)[0].flatten(2).transpose(1, 2))
    torch.testing.assert_close(model(x)[0].flatten(2).transpose(1, 2), want)


def test_each_layer_has_its_own_budget():
    model = build(keep_rates=(0.1, 0.25, 0.5, 1.0))
    assert [each.attn.keep_rate for each in model.layers] == [0.1, 0.25, 0.5, 1.0]
    kept = [each.pairs_kept for each in model.attention_macs(64)]
    assert kept == [2 * 32 * 16 * count for count in (2, 4, 8, 16)]


def test_pruning_and_gathering_execute_less():
    dense = build(extra_tokens=('cls',))
    pruned = build(execution='gathered', **PRUNING)
    before, after = (model.attention_macs((64, 80)) for model in (dense, pruned))
    assert before[1].kept == after[1].kept == after[1].executed
    assert before[1].executed > after[1].executed
    # 20 patches; after layers 1 and 2 there are 12 and 8 left.
    assert [each.projections for each in after] == [
        4 * 32**2 * (1 + count) for count in (20, 20, 12, 8)
    ]


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('kwargs', [dict(), PRUNING])
def test_every_parameter_learns_and_losses_are_given_once(with_cp, kwargs):
    model = build(with_cp=with_cp, reconstruction_weight=2.0, **kwargs).train()
    out = model(torch.rand(2, 3, 64, 64))[0]
    noted = [each.item() for each in model._losses]
    losses = model.auxiliary_losses()
    assert list(losses) == ['loss_reconstruction']
    assert losses['loss_reconstruction'].item() == pytest.approx(2 * sum(noted) / 4)
    assert model.auxiliary_losses() == {}
    (out.square().sum() + losses['loss_reconstruction']).backward()
    for name, param in model.named_parameters():
        assert torch.isfinite(param.grad).all(), name
    model.eval()(torch.rand(2, 3, 64, 64))
    assert model.auxiliary_losses() == {}


@pytest.mark.filterwarnings('ignore:nothing takes')
def test_only_the_last_forward_has_losses():
    model = build().train()
    for _ in range(2):
        model(torch.rand(1, 3, 64, 64))
    assert len(model._losses) == 4


@pytest.mark.parametrize(
    'source, target',
    [
        (dict(extra_tokens=('cls',)), dict(extra_tokens=('cls', 'dist'))),
        (dict(extra_tokens=('cls',)), dict()),
        (dict(img_size=96), dict(img_size=(64, 128), extra_tokens=('cls',))),
        (dict(img_size=64), dict(img_size=160)),
    ],
)
def test_checkpoints_of_another_size_are_resized(source, target):
    source, model = build(**source), build(**target)
    model.load_state_dict(source.state_dict(), strict=False)
    shared = min(len(source.extra_tokens), len(model.extra_tokens))
    for old, new in zip(source.layers, model.layers, strict=True):
        old, new = old.attn.predictor, new.attn.predictor
        if old.basis.shape[1] == new.basis.shape[1]:
            torch.testing.assert_close(new.basis[:shared], old.basis[:shared])
    assert model(torch.rand(1, 3, 64, 64))[0].isfinite().all()


def test_loading_at_a_size_is_running_at_that_size():
    small = build(img_size=64, num_basis=6)
    large = build(img_size=96, num_basis=6)
    large.load_state_dict(small.state_dict())
    x = torch.rand(1, 3, 96, 96)
    torch.testing.assert_close(large(x), small(x))


def test_weights_that_fit_no_map_are_reported_by_torch():
    state = build().state_dict()
    name = 'layers.0.attn.predictor.basis'
    state[name] = state[name][:7]
    with pytest.raises(RuntimeError, match='size mismatch for ' + name):
        build().load_state_dict(state)


@pytest.mark.parametrize(
    'bad, message',
    [
        (dict(keep_rates=0), r'keep_rates must be in \(0, 1\], got 0'),
        (dict(keep_rates=(0.5, 0.5, 0.5, 2)), r'must be in \(0, 1\], got 2'),
        (dict(keep_rates=(0.5, 0.5)), 'one for each of 4 layers, got 2'),
        (dict(prune_after=(1,), token_keep_rates=(0.5,)), 'prune_after needs'),
        (dict(PRUNING, prune_after=(2, 1)), r'must increase from 0 .*\(2, 1\)'),
        (dict(PRUNING, prune_after=(1, 4)), r'at most 3, got \(1, 4\)'),
        (dict(PRUNING, prune_after=(1,)), r'a rate for each layer .*\(1,\)'),
        (dict(PRUNING, token_keep_rates=(0.4, 0.6)), 'must not increase'),
        (dict(PRUNING, token_keep_rates=(0.4, 0)), r'in \(0, 1\], got 0'),
        (dict(img_size=8), 'smaller than a patch'),
        (dict(arch=dict(ARCH, num_heads=5)), 'num_heads must divide'),
    ],
)
def test_bad_arguments_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        Sparsifiner(**dict(dict(arch=ARCH, img_size=64), **bad))


def test_arguments_of_anchors_are_refused():
    with pytest.raises(TypeError, match=r"no arguments .'num_anchors'."):
        Sparsifiner(ARCH, img_size=64, num_anchors=3)


def test_the_small_model_is_the_releases():
    with torch.device('meta'):
        model = MODELS.build(dict(type='mmanchor.Sparsifiner', extra_tokens=('cls',)))
    params = sum(each.numel() for each in model.parameters())
    # DeiT-S without its head, and the predictors: two maps of 64 to 32 with
    # bias, and two times 197 x 32, in each of 12 layers.
    assert params == 21665664 + 12 * (2 * 65 * 32 + 2 * 197 * 32)


@pytest.mark.slow
@pytest.mark.parametrize('execution', ['masked', 'gathered'])
def test_exports_whatever_the_execution(execution):
    model, x = build(execution=execution), torch.randn(2, 3, 64, 64)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x)[0], model(x)[0], rtol=1e-4, atol=1e-4)
