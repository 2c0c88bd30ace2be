"""Evenly spread tokens, and resized position embeddings."""

import pytest
import torch

from mmanchor.models.layers import even_token_indices, resize_position_embedding


@pytest.mark.parametrize(
    'height, width', [(1, 1), (1, 9), (9, 1), (3, 4), (14, 14), (32, 32), (5, 64)]
)
def test_chosen_tokens_differ_and_increase_for_every_number(height, width):
    for num in range(1, height * width + 1):
        index = even_token_indices(height, width, num, 'cpu')
        assert len(index) == num
        assert index[0] >= 0 and index[-1] < height * width
        assert (index.diff() > 0).all()


@pytest.mark.parametrize('num', [16, 30, 32, 64])
def test_chosen_tokens_cover_the_map(num):
    index = even_token_indices(32, 32, num, 'cpu')
    chosen = torch.stack((index // 32, index % 32), 1).double()
    every = torch.cartesian_prod(torch.arange(32), torch.arange(32)).double()
    nearest = torch.cdist(every, chosen).min(1)[0].max()
    # A perfect square grid of spacing 32 / sqrt(num) leaves no token further
    # away than its half diagonal; twice that is even enough.
    assert nearest <= 2 * 32 / num**0.5 / 2**0.5


def test_four_of_a_four_by_four_map():
    assert even_token_indices(4, 4, 4, 'cpu').tolist() == [5, 7, 13, 15]


def test_resizing_to_the_same_size_is_the_identity():
    embedding = torch.randn(1, 2 + 12, 8)
    out = resize_position_embedding(embedding, (3, 4), (3, 4), 2)
    assert torch.equal(out, embedding)


def test_resizing_keeps_extra_tokens_and_a_constant():
    embedding = torch.cat((torch.randn(1, 1, 8), torch.full((1, 12, 8), 3.0)), 1)
    out = resize_position_embedding(embedding, (3, 4), (5, 9), 1)
    assert out.shape == (1, 46, 8)
    assert torch.equal(out[:, :1], embedding[:, :1])
    torch.testing.assert_close(out[:, 1:], torch.full((1, 45, 8), 3.0))


def test_resizing_keeps_rows_and_columns_apart():
    rows = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 2, 1)
    out = resize_position_embedding(rows.reshape(1, 8, 1), (4, 2), (8, 6), 0)
    grid = out.view(8, 6)
    torch.testing.assert_close(grid, grid[:, :1].expand(8, 6))
    assert (grid[:, 0].diff() > 0).all()
