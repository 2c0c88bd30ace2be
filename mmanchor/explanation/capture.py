"""Read the anchors' weights of every layer while an image goes through a network."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..models.layers import LearnedAnchorAttention, LevitAnchorAttention, TokenAnchorAttention
from ..models.layers.token_grid import even_token_indices
from ..ops import refine_anchors
from ..utils.errors import UserError
from .mixing import AnchorMix
from .token_maps import TokenMap


@dataclass(frozen=True)
class CapturedLayer:
    """The anchors' weights of one attention.

    Args:
        name: The attention's name in the network.
        mix: Its weights, on the CPU.
        inputs: The map of the tokens that are gathered.
        outputs: The map of the output tokens; another one only where the
            attention subsamples.
    """

    name: str
    mix: AnchorMix
    inputs: TokenMap
    outputs: TokenMap


def anchor_modules(network: nn.Module) -> dict[str, nn.Module]:
    """The attentions with anchors, by name, in the order of depth."""
    return {name: module for name, module in network.named_modules() if type_of(module)}


def type_of(module: nn.Module) -> type | None:
    """The class that says how to read a module's anchors; ``None`` if it has none."""
    return next((known for known in _SCORES if isinstance(module, known)), None)


@torch.no_grad()
def capture(network: nn.Module, inputs: Tensor, run: Callable[[], Any]) -> list[CapturedLayer]:
    """Run a network once and read the anchors' weights of all its attentions.

    Args:
        network: In training or deploy form.
        inputs: Its input, (1, 3, H, W).
        run: Sends the input through the network.

    Returns:
        The attentions, in the order in which they were used.

    Raises:
        UserError: If the network has no anchors.
    """
    modules = anchor_modules(network)
    if not modules:
        raise UserError(
            'the model has no anchors, so there are no anchor maps; take a model with anchor '
            'attention, or --method gradcam'
        )
    found: list[CapturedLayer] = []
    size = (inputs.shape[2], inputs.shape[3])
    with ExitStack() as stack:
        stack.enter_context(_all_tokens_at_once(network))
        for name, module in modules.items():
            hook = partial(_record, found, name, size)
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        run()
    return found


@contextmanager
def _all_tokens_at_once(network: nn.Module) -> Iterator[None]:
    """Switch off ``chunk_tokens``, which goes around the attentions' forward."""
    chunked = [m for m in network.modules() if getattr(m, 'chunk_tokens', None)]
    sizes = [module.chunk_tokens for module in chunked]
    for module in chunked:
        module.chunk_tokens = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, size in zip(chunked, sizes, strict=True):
            module.chunk_tokens = size


def _record(
    found: list[CapturedLayer],
    name: str,
    size: tuple[int, int],
    module: nn.Module,
    args: tuple,
    kwargs: dict,
) -> None:
    """A forward pre-hook of an attention."""
    known = type_of(module)
    assert known is not None
    tokens = args[0] if args else kwargs.get('x', kwargs.get('query'))
    hw_shape = args[1] if len(args) > 1 else kwargs.get('hw_shape')
    if not isinstance(hw_shape, (tuple, list)):  # other libraries do not pass it
        tokens_map = TokenMap.of_tokens(tokens.shape[1], size)
    else:
        height, width = (int(side) for side in hw_shape)
        extra = tokens.shape[1] - height * width
        tokens_map = TokenMap.of_map(height, width, size, extra)
    keys, queries = _SCORES[known](module, tokens[:1], tokens_map)
    outputs = tokens_map
    if queries is not None:
        height, width = (
            -(-side // module.stride) for side in (tokens_map.height, tokens_map.width)
        )
        outputs = TokenMap.of_map(height, width, size)
    links = getattr(module, 'links', None)
    parts = (keys[0], None if queries is None else queries[0], links)
    mix = AnchorMix.of(*(None if part is None else part.detach().float().cpu() for part in parts))
    found.append(CapturedLayer(name, mix, tokens_map, outputs))


# Scores of keys (B, heads, N, M), and of queries if they are others.
Scores = tuple[Tensor, Tensor | None]


def _learned_scores(module: LearnedAnchorAttention, x: Tensor, _: TokenMap) -> Scores:
    weights = module.folded_weights()
    scores = nn.functional.linear(x, weights.score_weight, weights.score_bias)
    return scores.unflatten(2, (module.num_heads, -1)).transpose(1, 2), None


def _token_scores(module: TokenAnchorAttention, x: Tensor, tokens: TokenMap) -> Scores:
    queries, keys, _ = module._split_heads(module.in_proj(x))
    chosen = even_token_indices(tokens.height, tokens.width, module.num_anchors, x.device)
    anchors = queries[:, :, tokens.num_extra + chosen]
    for _ in range(module.num_refinements):
        anchors = refine_anchors(keys, anchors)
    return keys @ anchors.transpose(-2, -1) * module.head_dims**-0.5, None


def _levit_scores(module: LevitAnchorAttention, x: Tensor, tokens: TokenMap) -> Scores:
    projected = module._split_heads(module.in_proj(x))
    keys = projected[..., : projected.shape[-1] - module.value_dims]
    queries = None
    if module.query_proj is not None:
        left, _ = module._subsample(x, (tokens.height, tokens.width))
        queries = module._split_heads(module.query_proj(left))
    if module.anchors is not None:  # otherwise they are folded: keys are scores
        anchors = module.anchors.transpose(-2, -1) * module.key_dims**-0.5
        keys = keys @ anchors
        queries = None if queries is None else queries @ anchors
    return keys, queries


_SCORES: dict[type, Callable[[Any, Tensor, TokenMap], Scores]] = {
    LearnedAnchorAttention: _learned_scores,
    TokenAnchorAttention: _token_scores,
    LevitAnchorAttention: _levit_scores,
}
