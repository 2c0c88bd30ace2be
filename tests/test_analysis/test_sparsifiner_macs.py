"""The counter sees what Sparsifiner executes, in both paths."""

import pytest

from mmanchor.analysis.complexity import count_complexity
from mmanchor.models.backbones import AnchorFormer, Sparsifiner

ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, mlp_ratio=2)
SOFTMAX = dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)


@pytest.mark.parametrize('execution', ['masked', 'gathered'])
def test_the_counter_agrees_with_the_layers_own_count(execution):
    kwargs = dict(arch=ARCH, img_size=64, extra_tokens=('cls',))
    plain = AnchorFormer(attention=SOFTMAX, **kwargs).eval()
    model = Sparsifiner(execution=execution, **kwargs).eval()
    for size in ((64, 64), (64, 96)):
        layers = model.attention_macs(size)
        tokens = 1 + size[0] * size[1] // 256
        # Softmax attention's own share, in two layers.
        dense = 2 * (4 * tokens * 32**2 + 2 * tokens**2 * 32)
        rest = count_complexity(plain, size).macs - dense
        executed = sum(layer.executed for layer in layers)
        assert count_complexity(model, size).macs - rest == executed
