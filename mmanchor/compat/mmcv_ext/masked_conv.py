"""The two halves of a convolution at chosen pixels only.

mmcv's MaskedConv2d gathers the patches around those pixels, multiplies them
with its weight and puts the results back. It has no backward pass.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Gather the patches around chosen pixels, into ``col``.

    Args:
        im: (1, C, H, W).
        mask_h_idx: Rows of the chosen pixels, (n,).
        mask_w_idx: Their columns, (n,).
        col: Receives the patches, (C * kernel_h * kernel_w, n).
        kernel_h: Height of a patch.
        kernel_w: Width of a patch.
        pad_h: Rows of zeros above and below the map.
        pad_w: Columns of zeros beside it.
    """
    padded = F.pad(im[0], (pad_w, pad_w, pad_h, pad_h))
    rows = mask_h_idx[:, None] + torch.arange(kernel_h, device=im.device)
    columns = mask_w_idx[:, None] + torch.arange(kernel_w, device=im.device)
    patches = padded[:, rows[:, :, None], columns[:, None]]  # (C, n, kh, kw)
    col.copy_(patches.permute(0, 2, 3, 1).reshape(col.shape))


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Put results, (channels, n), at the chosen pixels of ``im``."""
    im[0, :, mask_h_idx, mask_w_idx] = col
