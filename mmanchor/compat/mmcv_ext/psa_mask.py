"""Point-wise spatial attention's masks (Zhao et al., PSANet, ECCV 2018).

Each pixel predicts weights for a window around itself; the operator writes
them as weights between all pairs of pixels.
"""

import torch
from torch import Tensor

COLLECT = 0


def psamask_forward(input: Tensor, output: Tensor, psa_type: int, **layout: int) -> None:
    """Write the weights of windows as weights of pairs, into ``output``.

    Args:
        input: Weights of the window of each pixel, (B, h_mask * w_mask, H, W).
        output: Receives them, zeros before, (B, H * W, H, W). Collecting, the
            pixel of the window comes first and the window's center last;
            distributing, the other way round.
        psa_type: 0 for collecting, 1 for distributing.
        layout: num_, h_feature (H), w_feature (W), h_mask, w_mask,
            half_h_mask, half_w_mask.
    """
    channel, center, other = _pairs(input.device, layout)
    places = (other, center) if psa_type == COLLECT else (center, other)
    output.flatten(2)[:, places[0], places[1]] = input.flatten(2)[:, channel, center]


def psamask_backward(grad_output: Tensor, grad_input: Tensor, psa_type: int, **layout: int) -> None:
    """Write the gradient of the windows' weights, into ``grad_input``."""
    channel, center, other = _pairs(grad_output.device, layout)
    places = (other, center) if psa_type == COLLECT else (center, other)
    grads = grad_output.flatten(2)[:, places[0], places[1]]
    grad_input.flatten(2)[:, channel, center] = grads


def _pairs(device: torch.device, layout: dict[str, int]) -> tuple[Tensor, Tensor, Tensor]:
    # For each pair inside the map: channel of the window, center, other pixel.
    height, width = layout['h_feature'], layout['w_feature']
    rows = torch.arange(height, device=device)
    columns = torch.arange(width, device=device)
    down = torch.arange(layout['h_mask'], device=device) - layout['half_h_mask']
    right = torch.arange(layout['w_mask'], device=device) - layout['half_w_mask']
    y = down[:, None, None, None] + rows[:, None]
    x = right[:, None, None] + columns
    y, x = torch.broadcast_tensors(y, x)  # (h_mask, w_mask, H, W)
    inside = ((y >= 0) & (y < height) & (x >= 0) & (x < width)).flatten(2).flatten(0, 1)
    channel, center = inside.nonzero(as_tuple=True)
    other = (y * width + x).flatten(2).flatten(0, 1)[channel, center]
    return channel, center, other
