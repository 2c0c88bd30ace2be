"""Which tokens pruning leaves, and where the others stay."""

import torch

from mmanchor.models.layers.token_layout import TokenLayout


def tokens(numbers):
    """One image, one channel."""
    return torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1)


def test_the_tokens_with_the_largest_scores_are_kept_in_order():
    layout = TokenLayout((2, 2), 1)
    scores = torch.tensor([[0.3, 0.1, 0.2, 0.4]])
    x, layout = layout.prune(tokens([9, 0, 1, 2, 3]), scores, 3)
    assert x.flatten().tolist() == [9, 0, 2, 3]
    assert layout.kept.tolist() == [[0, 2, 3]]
    assert (layout.num_tokens, layout.num_absent) == (5, 1)
    x, layout = layout.prune(x, torch.tensor([[0.1, 0.3, 0.2]]), 2)
    assert x.flatten().tolist() == [9, 2, 3]
    assert layout.kept.tolist() == [[2, 3]] and layout.num_absent == 2


def test_pruned_tokens_stay_as_they_were():
    layout = TokenLayout((2, 2), 1)
    x, layout = layout.prune(tokens([9, 0, 1, 2, 3]), torch.tensor([[0.3, 0.1, 0.2, 0.4]]), 3)
    x, layout = layout.prune(x + 10, torch.tensor([[0.1, 0.3, 0.2]]), 2)
    assert layout.restore(x + 10).flatten().tolist() == [29, 10, 1, 22, 23]


def test_enough_kept_changes_nothing():
    layout, x = TokenLayout((2, 2), 1), tokens([9, 0, 1, 2, 3])
    assert layout.prune(x, torch.zeros(1, 4), 4) == (x, layout)
    assert torch.equal(layout.restore(x), x)


def test_images_of_a_batch_keep_their_own():
    layout = TokenLayout((1, 3), 0)
    x = torch.arange(6.0).view(2, 3, 1)
    scores = torch.tensor([[3.0, 2, 1], [1, 2, 3]])
    x, layout = layout.prune(x, scores, 2)
    assert x.flatten().tolist() == [0, 1, 4, 5]
    rows = layout.select(torch.arange(3.0).view(3, 1))
    assert rows.shape == (2, 1, 2, 1)
    assert rows.flatten().tolist() == [0, 1, 1, 2]


def test_gradients_reach_pruned_tokens_too():
    x = torch.randn(1, 5, 2, requires_grad=True)
    left, layout = TokenLayout((2, 2), 1).prune(x * 1, torch.tensor([[0.3, 0.1, 0.2, 0.4]]), 2)
    layout.restore(left * 2).sum().backward()
    assert x.grad[0, :, 0].tolist() == [2, 2, 1, 1, 2]
