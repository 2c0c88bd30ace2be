"""Multiply-adds of operators and of attentions, against closed forms."""

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import MultiheadAttention as MmcvAttention
from mmdet.models.backbones.swin import ShiftWindowMSA, WindowMSA
from mmengine.analysis import FlopAnalyzer
from torch import nn

from mmanchor.analysis.flops import count_macs, meta_copy
from mmanchor.analysis.networks import errors_only
from mmanchor.models.backbones import AnchorFormer, Sparsifiner
from mmanchor.models.layers import LearnedAnchorAttention, SoftmaxAttention, TokenAnchorAttention

B, N, C, M, HEADS = 2, 6, 8, 3, 2
PROJECTIONS = 4 * B * N * C * C


class Run(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def total(function, *shapes):
    return count_macs(Run(function), *map(torch.rand, shapes)).total


@pytest.mark.parametrize(
    'function, shapes, want',
    [
        (torch.matmul, ((3, 4), (4, 5)), 3 * 4 * 5),
        (torch.matmul, ((3, 4), (7, 4, 5)), 7 * 3 * 4 * 5),
        (torch.matmul, ((1, 2, 3, 4), (7, 1, 4, 5)), 14 * 3 * 4 * 5),
        (torch.matmul, ((7, 3, 4), (4,)), 7 * 3 * 4),
        (torch.matmul, ((4,), (4,)), 4),
        (torch.bmm, ((7, 3, 4), (7, 4, 5)), 7 * 3 * 4 * 5),
        (torch.addmm, ((5,), (3, 4), (4, 5)), 3 * 4 * 5),
        (torch.baddbmm, ((7, 3, 5), (7, 3, 4), (7, 4, 5)), 7 * 3 * 4 * 5),
        (torch.addbmm, ((3, 5), (7, 3, 4), (7, 4, 5)), 7 * 3 * 4 * 5),
        (torch.addmv, ((3,), (3, 4), (4,)), 3 * 4),
        (torch.Tensor.addmm_, ((3, 5), (3, 4), (4, 5)), 3 * 4 * 5),
        (torch.Tensor.baddbmm_, ((7, 3, 5), (7, 3, 4), (7, 4, 5)), 7 * 3 * 4 * 5),
        (torch.Tensor.addbmm_, ((3, 5), (7, 3, 4), (7, 4, 5)), 7 * 3 * 4 * 5),
        (torch.Tensor.addmv_, ((3,), (3, 4), (4,)), 3 * 4),
        (F.linear, ((7, 3, 4), (5, 4), (5,)), 7 * 3 * 4 * 5),
        (
            lambda a, b: torch.einsum('bhwc,hkc->bhwk', a, b),
            ((2, 3, 5, 4), (3, 7, 4)),
            2 * 3 * 5 * 4 * 7,
        ),
        (
            lambda a, b: torch.einsum('...nd,...md->...nm', a, b),
            ((2, 7, 3, 4), (2, 7, 5, 4)),
            14 * 3 * 4 * 5,
        ),
        (lambda a: a * a + a, ((3, 4),), 0),
    ],
)
def test_products_count_however_they_are_called(function, shapes, want):
    assert total(function, *shapes) == want


@pytest.mark.parametrize(
    'conv, shape, want',
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 8, 10), 2 * 6 * 4 * 5 * 2 * 9),
        (nn.Conv2d(4, 6, 3, padding='same'), (1, 4, 8, 10), 6 * 80 * 4 * 9),
        (nn.Conv2d(4, 6, 3), (4, 8, 10), 6 * 6 * 8 * 4 * 9),
        (nn.Conv1d(4, 6, 3, bias=False), (2, 4, 8), 2 * 6 * 6 * 4 * 3),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (1, 4, 8, 10), 4 * 80 * 3 * 4),
    ],
)
def test_convolutions_count_their_kernels_at_every_place(conv, shape, want):
    assert count_macs(conv, torch.rand(shape)).total == want


@pytest.mark.parametrize('options', [{}, dict(is_causal=True)])
@pytest.mark.parametrize('numbers', [False, True])
def test_fused_attention_counts_all_pairs(options, numbers):
    model = Run(
        lambda q, k, v: (
            # What cannot run without numbers makes the counter take them.
            bool(q.sum() > 0) if numbers else None,
            F.scaled_dot_product_attention(q, k, v, **options),
        )[1]
    )
    count = count_macs(
        model, torch.rand(B, HEADS, N, 4), torch.rand(B, HEADS, 9, 4), torch.rand(B, HEADS, 9, 4)
    )
    assert count.total == B * HEADS * N * 9 * (4 + 4)
    fused = '_scaled_dot_product_flash_attention_for_cpu'
    assert (f'aten.{fused}' in count.by_operator) == numbers


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('batch_first', [False, True])
@pytest.mark.parametrize('need_weights', [False, True])
def test_torch_attention_counts_in_every_form(training, batch_first, need_weights):
    layer = nn.MultiheadAttention(C, HEADS, batch_first=batch_first)
    layer.train(training)
    x = torch.rand((B, N, C) if batch_first else (N, B, C))
    model = Run(lambda x: layer(x, x, x, need_weights=need_weights))
    with torch.no_grad():  # here torch would take its one opaque operator
        assert count_macs(model, x).total == PROJECTIONS + 2 * B * N * N * C


@pytest.mark.parametrize('mask', [None, torch.zeros(N, 9)])
def test_torch_attention_to_other_tokens_of_other_widths(mask):
    layer = nn.MultiheadAttention(C, HEADS, kdim=5, vdim=7, batch_first=True).eval()
    model = Run(
        lambda q, k, v: layer(q, k, v, attn_mask=None if mask is None else mask.to(q.device))
    )
    count = count_macs(model, torch.rand(B, N, C), torch.rand(B, 9, 5), torch.rand(B, 9, 7))
    projections = 2 * N * C * C + 9 * C * (5 + 7)
    assert count.total == B * (projections + 2 * N * 9 * C)


def test_the_encoder_of_torch_counts_without_its_fast_path():
    layer = nn.TransformerEncoderLayer(C, HEADS, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 3).eval()
    norms = 2 * 5 * B * N * C
    one = PROJECTIONS + 2 * B * N * N * C + 2 * B * N * C * 16 + norms
    with torch.no_grad():
        assert count_macs(model, torch.rand(B, N, C)).total == 3 * one
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_fast_path_is_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError):
        count_macs(Run(lambda x: 1 / 0), torch.rand(1))
    assert torch.backends.mha.get_fastpath_enabled()


def test_attention_of_mmcv():
    layer = MmcvAttention(C, HEADS, batch_first=True).eval()
    assert count_macs(layer, torch.rand(B, N, C)).total == PROJECTIONS + 2 * B * N * N * C


def test_attention_of_mmpretrain():
    utils = pytest.importorskip('mmpretrain.models.utils')
    for fused in (False, True):
        layer = utils.MultiheadAttention(C, HEADS).eval()
        if not fused:  # its eager form
            layer.scaled_dot_product_attention = utils.attention.scaled_dot_product_attention_pyimpl
        assert count_macs(layer, torch.rand(B, N, C)).total == PROJECTIONS + 2 * B * N * N * C


def test_windows_attend_within_themselves():
    layer = WindowMSA(C, HEADS, (2, 3)).eval()
    windows = 5
    x = torch.rand(windows, 2 * 3, C)
    per_window = 4 * 6 * C * C + 2 * 6 * 6 * C
    assert count_macs(layer, x).total == windows * per_window


@pytest.mark.parametrize('shift', [0, 1])
def test_windows_count_their_padding(shift):
    layer = ShiftWindowMSA(C, HEADS, window_size=3, shift_size=shift).eval()
    windows = 2 * 3  # 5 x 7 tokens fill 6 x 9
    x = torch.rand(1, 5 * 7, C)
    per_window = 4 * 9 * C * C + 2 * 9 * 9 * C
    assert count_macs(layer, x, (5, 7)).total == windows * per_window


@pytest.mark.parametrize(
    'layer, want',
    [
        (SoftmaxAttention(C, HEADS), PROJECTIONS + 2 * B * N * N * C),
        (LearnedAnchorAttention(C, HEADS, num_anchors=M), 3 * B * N * C * C + 3 * B * N * M * C),
        # Scores and means once more, to refine the anchors.
        (TokenAnchorAttention(C, HEADS, num_anchors=M), PROJECTIONS + 5 * B * N * M * C),
    ],
)
def test_our_attentions(layer, want):
    x = torch.rand(B, N, C)
    assert count_macs(layer.eval(), x, (2, 3)).total == want


@pytest.mark.parametrize('execution', ['masked', 'gathered'])
def test_counts_are_the_same_with_and_meta_copy(execution):
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, mlp_ratio=2)
    model = Sparsifiner(arch=arch, img_size=64, execution=execution).eval()
    needs_numbers = Run(lambda x: model(x * float(x.max() > 0)))
    x = torch.rand(1, 3, 64, 96)
    assert count_macs(model, x).total == count_macs(needs_numbers, x).total


def test_a_copy_without_numbers_shares_what_the_model_shares():
    one, two = nn.Linear(4, 4), nn.Linear(4, 4)
    two.weight = one.weight
    copied = meta_copy(nn.Sequential(one, one, two))
    assert copied[0] is copied[1] and copied[2].weight is copied[0].weight
    assert all(param.is_meta for param in copied.parameters())
    assert not one.weight.is_meta


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    count_macs(model, torch.rand(2, 3, 8, 8))
    assert model.training and not model[0]._forward_hooks
    assert all(x.equal(before[name]) for name, x in model.state_dict().items())


def test_what_mmengine_counts_counts_the_same():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.GroupNorm(2, 8),
        nn.UpsamplingBilinear2d(scale_factor=2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.BatchNorm2d(8, affine=False),
        nn.Flatten(2),
        nn.LayerNorm(36),
        nn.Linear(36, 5),
    ).eval()
    x = torch.rand(1, 3, 6, 6)
    with errors_only():
        want = FlopAnalyzer(model, x).total()
    assert count_macs(model, x).total == want


@pytest.mark.parametrize(
    'mode, neighbors', [('nearest', 1), ('nearest-exact', 1), ('bilinear', 4), ('bicubic', 16)]
)
@pytest.mark.parametrize('needs_data', [False, True])
def test_resizing_counts_the_pixels_that_it_mixes(mode, neighbors, needs_data):
    def resize(x):
        scale = 2 if needs_data and x.max() > 0 else 3
        return F.interpolate(x, scale_factor=scale, mode=mode)

    size = (8, 10) if needs_data else (12, 15)
    assert total(resize, (1, 3, 4, 5)) == neighbors * 3 * size[0] * size[1]


def test_a_resized_position_embedding_counts():
    """Bicubic resizing once counted as free."""
    kwargs = dict(arch=dict(embed_dims=8, num_layers=1, num_heads=2, mlp_ratio=2), img_size=32)
    model = AnchorFormer(**kwargs).eval()
    by_operator = count_macs(model, torch.rand(1, 3, 64, 96)).by_operator
    assert by_operator['aten.upsample_bicubic2d'] == 16 * 8 * 4 * 6
    assert 'aten.upsample_bicubic2d' not in count_macs(model, torch.rand(1, 3, 32, 32)).by_operator


@pytest.mark.parametrize('size', [1, 2])
def test_adaptive_pooling_is_what_mmengine_counts_beside(size):
    pool, x = nn.AdaptiveAvgPool2d(size), torch.rand(1, 3, 6, 6)
    with errors_only():
        assert FlopAnalyzer(pool, x).total() == x.numel()
    assert not count_macs(pool, x).total


def test_channels_are_checked_without_numbers_too():
    model = nn.ConvTranspose2d(8, 4, 2)
    with pytest.raises(RuntimeError, match='channels'):
        count_macs(model, torch.rand(1, 3, 8, 8))


def test_unknown_operators_are_named():
    own = torch.library.Library('counted', 'FRAGMENT')
    own.define('double(Tensor x) -> Tensor')
    own.impl('double', lambda x: 2 * x, 'CompositeExplicitAutograd')
    count = count_macs(Run(torch.ops.counted.double), torch.rand(3))
    assert count.uncounted == {'counted::double'} and not count.total


@pytest.mark.parametrize(
    'function, shapes, name',
    [
        (F.bilinear, ((3, 4), (3, 5), (6, 4, 5)), '_trilinear'),
        (torch.fft.fft, ((8,),), '_fft_r2c'),
        (torch.linalg.inv, ((4, 4),), 'linalg_inv_ex'),
        (torch.cdist, ((30, 4), (30, 4)), '_euclidean_dist'),
        (torch.cdist, ((3, 4), (3, 4)), '_cdist_forward'),
    ],
)
def test_operators_of_torch_that_multiply_uncounted_are_named(function, shapes, name):
    count = count_macs(Run(function), *map(torch.rand, shapes))
    assert count.uncounted == {f'aten::{name}'} and not count.total


def test_recurrent_layers_count_or_are_named():
    layer, x = nn.LSTM(3, 4, bias=False), torch.rand(5, 1, 3)
    count = count_macs(layer, x)
    assert count.total == 5 * 4 * 4 * (3 + 4) and not count.uncounted
    numbers = count_macs(Run(lambda x: layer(x * float(x.max() > 0))), x)
    assert numbers.total == count.total or numbers.uncounted
