r"""RoIAlign: pooling of a box from samples between the pixels.

He et al., Mask R-CNN (arXiv 1703.06870), section 3. Average pooling is
torchvision's operator. Maximum pooling samples a finer grid with it, one
sample a cell, and takes the maximum of each block of cells.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from .common import OPS, in_one_precision
from .sampling import sampling_grids

MAX = 0


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool boxes from feature maps, into ``output``.

    Args:
        input: Feature maps, (B, C, H, W).
        rois: (N, 5), image index in the batch and corners in image pixels.
        output: Receives the pooled features, (N, C, h, w).
        argmax_y: In maximum pooling, receives what the backward pass needs,
            (N, C, h, w): the row of the largest sample in its cell. (The
            compiled operator keeps coordinates, which half precision rounds.)
        argmax_x: The same for the column.
        aligned_height: h.
        aligned_width: w.
        spatial_scale: Pixels of the feature map per pixel of the image.
        sampling_ratio: Samples along each side of a cell; 0 takes as many as
            the cell has pixels.
        pool_mode: 0 for the maximum of the samples, 1 for their mean.
        aligned: Whether pixels have their centers at half coordinates.
    """
    size = (aligned_height, aligned_width)
    maps, boxes = in_one_precision(input, rois)
    if pool_mode != MAX:
        output.copy_(_sample(maps, boxes, spatial_scale, size, sampling_ratio, aligned))
        return
    for chosen, grid in _grids(boxes, size, spatial_scale, sampling_ratio, aligned):
        fine = (size[0] * grid[0], size[1] * grid[1])
        samples = _sample(maps, boxes[chosen], spatial_scale, fine, 1, aligned)
        values, positions = _blocks(samples, grid).max(-1)
        output[chosen] = values.to(output.dtype)
        argmax_y[chosen] = (positions // grid[1]).to(argmax_y.dtype)
        argmax_x[chosen] = (positions % grid[1]).to(argmax_x.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient of :func:`roi_align_forward` to ``grad_input``."""
    size = (aligned_height, aligned_width)
    grad, boxes = in_one_precision(grad_output, rois)

    def spread(grad: Tensor, boxes: Tensor, size: tuple[int, int], ratio: int) -> None:
        grad_input.add_(
            OPS._roi_align_backward(
                grad, boxes, spatial_scale, *size, *grad_input.shape, ratio, aligned
            )
        )

    if pool_mode != MAX:
        spread(grad, boxes, size, sampling_ratio)
        return
    for chosen, grid in _grids(boxes, size, spatial_scale, sampling_ratio, aligned):
        positions = argmax_y[chosen].long() * grid[1] + argmax_x[chosen].long()
        blocks = F.one_hot(positions, grid[0] * grid[1]) * grad[chosen][..., None]
        spread(_unblock(blocks, grid), boxes[chosen], (size[0] * grid[0], size[1] * grid[1]), 1)


def _sample(
    maps: Tensor, boxes: Tensor, scale: float, size: tuple[int, int], ratio: int, aligned: bool
) -> Tensor:
    return OPS.roi_align(maps, boxes, scale, *size, ratio, aligned)


def _grids(
    boxes: Tensor, size: tuple[int, int], scale: float, ratio: int, aligned: bool
) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    sides = (boxes[:, 3:5] - boxes[:, 1:3]) * scale
    return sampling_grids(sides if aligned else sides.clamp(min=1), size, ratio)


def _blocks(samples: Tensor, grid: tuple[int, int]) -> Tensor:
    # (N, C, h * gy, w * gx) -> (N, C, h, w, gy * gx)
    rows = samples.unflatten(3, (-1, grid[1])).unflatten(2, (-1, grid[0]))
    return rows.transpose(3, 4).flatten(4)


def _unblock(blocks: Tensor, grid: tuple[int, int]) -> Tensor:
    # (N, C, h, w, gy * gx) -> (N, C, h * gy, w * gx)
    rows = blocks.unflatten(4, grid).transpose(3, 4)
    return rows.flatten(4).flatten(2, 3).contiguous()
