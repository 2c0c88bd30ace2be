"""The counter sees what Sparsifiner executes, whichever way it computes its pairs."""

import pytest
import torch

from mmanchor.analysis.flops import count_macs
from mmanchor.models.backbones import AnchorFormer, Sparsifiner

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, mlp_ratio=2)
SOFTMAX = dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)


def macs_without_resizing(model, size):
    count = count_macs(model, torch.rand(1, 3, *size))
    return count.total - count.by_operator.get('aten.upsample_bicubic2d', 0)


@pytest.mark.parametrize('execution', ['masked', 'gathered'])
@pytest.mark.parametrize('size', [(64, 64), (64, 96)])
def test_the_counter_agrees_with_the_layers_own_count(execution, size):
    kwargs = dict(arch=ARCH, img_size=64, extra_tokens=('cls',))
    plain = AnchorFormer(attention=SOFTMAX, **kwargs).eval()
    model = Sparsifiner(execution=execution, **kwargs).eval()
    tokens = 1 + size[0] * size[1] // 256
    softmax = 2 * (4 * tokens * 32**2 + 2 * tokens**2 * 32)  # in two layers
    rest = macs_without_resizing(plain, size) - softmax
    executed = sum(layer.executed for layer in model.attention_macs(size))
    assert macs_without_resizing(model, size) - rest == executed
