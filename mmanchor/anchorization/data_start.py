"""New attentions start from what softmax attention does with some images."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers import LearnedAnchorAttention
from ..utils.errors import UserError
from .anchors import kmeans
from .fitting import as_at_test
from .softmax_modules import Softmax

# Scales of the scores to choose from, for each head.
SCALES = (1.0, 2.0, 4.0, 8.0)
# Weights of softmax attention in memory at once, which the links are measured on.
MAX_WEIGHTS = 2**25
# Keeps logarithms of weights finite.
TINY = 1e-7


@torch.no_grad()
def start_from_data(new: LearnedAnchorAttention, softmax: Softmax, tokens: Tensor) -> None:
    """Set anchors, scales and links so that an attention does what softmax did.

    Anchors are cluster centers of the keys. A token belongs to an anchor by
    its distance, :math:`-s |k - w_j|^2 / 2` up to what all anchors share, which
    gives the biases. The links are logarithms of the weights that the tokens
    of one anchor have for those of another, over all images.

    Args:
        new: An attention with ``anchor_bias``, ``anchor_links``,
            ``learn_scale`` and anchors of each head, and with the keys and
            values of ``softmax``; changed in place.
        softmax: The attention that it replaces.
        tokens: Its inputs, (B, N, C).
    """
    tokens = tokens.to(softmax.weight)
    projected = F.linear(tokens, softmax.weight, softmax.bias)
    queries, keys, values = projected.unflatten(2, (3, softmax.num_heads, -1)).permute(
        2, 0, 3, 1, 4
    )
    weights = (queries @ keys.transpose(-2, -1) * keys.shape[-1] ** -0.5).softmax(-1)
    wanted = weights @ values
    anchors = kmeans(_some(keys).float(), new.num_anchors, steps=10)
    lengths = 0.5 * anchors.square().sum(-1) * keys.shape[-1] ** -0.5  # (heads, M)
    best = torch.full((softmax.num_heads,), torch.inf, device=tokens.device)
    new.anchors.copy_(anchors)
    for scale in SCALES:
        bias = -scale * lengths
        assign = _assign(keys, scale * anchors, bias)
        mass = assign.sum(-2)
        flow = (assign.transpose(-2, -1) @ weights @ assign).sum(0)
        shares = flow / flow.sum(-1, keepdim=True).clamp_min(TINY)
        links = (shares + TINY).log() - (mass.mean(0) + TINY).log().unsqueeze(-2)
        means = assign.transpose(-2, -1) @ values / mass.clamp_min(TINY).unsqueeze(-1)
        mixed = (links + mass.clamp_min(TINY).log().unsqueeze(-2)).softmax(-1) @ means
        error = (assign @ mixed - wanted).square().mean((0, 2, 3))
        better = error < best
        best[better] = error[better]
        new.score_scale[better] = scale
        new.anchor_bias[better] = bias[better].to(new.anchor_bias)
        new.links[better] = links[better].to(new.links)


def images_for_links(tokens: Tensor, num_heads: int) -> Tensor:
    """As many images of tokens (B, N, C) as :data:`MAX_WEIGHTS` allows, at least one."""
    return tokens[: max(1, MAX_WEIGHTS // (num_heads * tokens.shape[1] ** 2))]


def watched_tokens(
    model: nn.Module, layers: Sequence[str], batches: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Inputs of attentions, (B, N, C), of all batches.

    Args:
        model: The model with softmax attention.
        layers: Names of the attentions.
        batches: What the model takes.

    Raises:
        UserError: If an attention is not reached.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, name=name: seen[name].append(args[0].detach())
        )
        for name in layers
    ]
    try:
        with as_at_test(model):
            for batch in batches:
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
    missed = [name for name in layers if not seen[name]]
    if missed:
        raise UserError(f'the images do not reach the attention {missed[0]!r}')
    return {name: torch.cat(tokens) for name, tokens in seen.items()}


def _some(keys: Tensor, number: int = 4096) -> Tensor:
    """Keys of tokens drawn from all images, (heads, T, D)."""
    keys = keys.transpose(0, 1).flatten(1, 2)
    order = torch.randperm(keys.shape[1], generator=torch.Generator().manual_seed(0))
    return keys[:, order[:number].to(keys.device)]


def _assign(keys: Tensor, anchors: Tensor, bias: Tensor) -> Tensor:
    scores = keys @ anchors.transpose(-2, -1) * keys.shape[-1] ** -0.5
    return (scores + bias.unsqueeze(-2)).softmax(-1)
