"""Peak memory of calls whose peak is known."""

import pytest
import torch

from mmanchor.analysis.memory import peak_memory


def test_what_is_released_no_longer_counts():

    def call():
        first = torch.zeros(1000)
        second = first + 1
        del first
        return second.double()  # 4 kB beside 8 kB

    assert peak_memory(call) == 12_000


def test_what_was_held_before_does_not_count():
    held = torch.zeros(100_000)
    assert peak_memory(lambda: held[:10].clone()) == 40


def test_softmax_attention_holds_its_scores_and_anchors_hold_theirs():
    from mmanchor.ops import anchor_attention

    tokens, width, anchors = 256, 16, 4
    q = torch.rand(1, 1, tokens, width)
    eager = peak_memory(lambda: (q @ q.transpose(-2, -1)).softmax(-1) @ q)
    assert eager >= 2 * 4 * tokens**2
    few = torch.rand(anchors, width)
    assert peak_memory(lambda: anchor_attention(q, q, few)) < eager / 10


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
def test_the_peak_on_a_gpu():

    def call():
        return torch.zeros(1 << 20, device='cuda') + 1

    assert peak_memory(call, 'cuda') == 2 * 4 << 20
