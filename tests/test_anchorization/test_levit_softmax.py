"""Queries and keys of LeViT's attention are those that it mixes by."""

import pytest
import torch
from levit_models import ARCH, live

from mmanchor.anchorization.levit_softmax import find_levit_softmax
from mmanchor.models import AnchorLeViT


@torch.no_grad()
@pytest.mark.parametrize('stage, stride', [(0, 1), (1, 2)])
def test_queries_and_keys_are_those_of_the_attention(stage, stride):
    model = live(AnchorLeViT(ARCH, attention='softmax', img_size=96))
    found = find_levit_softmax(model)
    assert len(found) == 6
    softmax = found[f'stages.{stage}.0.attn']
    tokens = torch.randn(36, 16)
    model.train()  # batch statistics would not be those of the attention
    got = softmax.queries_and_keys(tokens)  # (heads, 2 * 36, 8)
    model.eval()
    queries, keys = got.unflatten(1, (2, 36)).unbind(1)

    mixed = []
    softmax.attn.mix = lambda *args: (
        mixed.append(args) or torch.zeros(1, 2, (6 // stride) ** 2, softmax.attn.value_dims)
    )
    softmax.attn(tokens[None], (6, 6))
    projected, asked, _ = mixed[0]
    if stride == 1:
        torch.testing.assert_close(queries, projected[0, ..., :8])
        torch.testing.assert_close(keys, projected[0, ..., 8:16])
    else:
        kept = queries.unflatten(1, (6, 6))[:, ::2, ::2].flatten(1, 2)
        torch.testing.assert_close(kept, asked[0])
        torch.testing.assert_close(keys, projected[0, ..., :8])
