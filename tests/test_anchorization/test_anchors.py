"""Where anchors start: clusters of keys, or queries of random tokens."""

import pytest
import torch

from mmanchor.anchorization.anchors import fold_value_bias
from mmanchor.converters import kmeans, queries_as_anchors

CENTERS = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])


def clusters(count=20):
    """Two sets of points around the centers, the second shifted by 100."""
    points = CENTERS.repeat_interleave(count, 0)
    points = points + torch.rand(len(points), 2) - 0.5
    points = points[torch.randperm(len(points))]
    return torch.stack((points, points + 100))


def test_centers_are_the_means_of_their_points():
    points = clusters()
    centers = kmeans(points, 3)
    for i in range(2):
        nearest = torch.cdist(CENTERS + 100 * i, centers[i]).argmin(dim=1)
        assert sorted(nearest.tolist()) == [0, 1, 2]
    nearest = torch.cdist(points, centers).argmin(dim=2)
    for group, labels, found in zip(points, nearest, centers, strict=True):
        means = [group[labels == j].mean(dim=0) for j in range(3)]
        torch.testing.assert_close(found, torch.stack(means))


def test_the_same_points_give_the_same_centers():
    points = clusters()
    first = kmeans(points, 5)
    torch.rand(3)
    assert torch.equal(first, kmeans(points, 5))


def test_alike_points_give_finite_centers():
    assert torch.equal(kmeans(torch.ones(1, 4, 2), 3), torch.ones(1, 3, 2))


def test_points_far_apart_have_centers_and_infinite_ones_are_refused():
    assert kmeans(1e30 * clusters(), 3).isfinite().all()
    with pytest.raises(ValueError, match='must be finite, got NaN or Inf'):
        kmeans(torch.tensor([[[0.0], [torch.nan]]]), 2)


@pytest.mark.parametrize('num', (0, 61))
def test_there_are_no_more_centers_than_points(num):
    with pytest.raises(ValueError, match=f'{num} clusters need .* got 60'):
        kmeans(clusters(), num)


def test_drawn_anchors_have_the_moments_of_queries():
    heads, width, dims = 2, 3, 6
    weight, bias = torch.randn(dims, dims), torch.randn(dims)
    norm = torch.rand(dims) + 0.5, torch.randn(dims)
    anchors = queries_as_anchors(weight, bias, norm, (heads, 20000, width))
    flat = anchors.transpose(0, 1).flatten(1)  # (M, C)
    mean = weight @ norm[1] + bias
    covariance = weight * norm[0] ** 2 @ weight.T
    torch.testing.assert_close(flat.mean(0), mean, rtol=0, atol=0.1)
    assert (flat.T.cov() - covariance).norm() < 0.05 * covariance.norm()


def test_shared_anchors_come_from_the_heads_in_turn():
    weight, norm = torch.randn(6, 6), (torch.ones(6), torch.zeros(6))
    each = queries_as_anchors(weight, None, norm, (2, 5, 3))
    shared = queries_as_anchors(weight, None, norm, (5, 3))
    for j in range(5):
        assert torch.equal(shared[j], each[j % 2, j])


def test_the_value_bias_passes_through_rows_that_sum_to_one():
    rows, values = torch.rand(4, 7).softmax(1), torch.rand(7, 3)
    value_bias, weight, bias = torch.rand(3), torch.rand(3, 3), torch.rand(3)
    torch.testing.assert_close(
        rows @ values @ weight.T + fold_value_bias(value_bias, weight, bias),
        rows @ (values + value_bias) @ weight.T + bias,
    )
