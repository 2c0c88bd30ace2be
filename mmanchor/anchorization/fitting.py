"""Find the softmax attentions of a model, and fit anchors to what they see."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..models.layers import LearnedAnchorAttention
from .anchors import SEED, kmeans, queries_as_anchors
from .softmax_modules import Softmax, UnsupportedAttention, read_softmax

# Tokens per layer, drawn evenly from all images; it bounds memory and time.
MAX_TOKENS = 4096

# Name of a module -> its softmax attention.
Found = dict[str, Softmax]


def find_softmax(model: nn.Module, keep: Sequence[str] = ()) -> Found:
    """Find all softmax attentions of a model.

    Args:
        model: Any model.
        keep: Names of modules to skip, with everything inside them.

    Returns:
        Name of each attention -> its parts.

    Raises:
        ValueError: If there is none, one cannot be replaced, or ``keep``
            names no module.
    """
    names = dict(model.named_modules())
    unknown = [name for name in keep if name not in names]
    if unknown:
        raise ValueError(
            f'keep has {unknown[0]!r}, but the {type(model).__name__} has no such module'
        )
    found: Found = {}
    for name, module in names.items():
        outer = (*keep, *found)
        if not name or any(f'{name}.'.startswith(f'{o}.') for o in outer):
            continue
        parent = names[name.rpartition('.')[0]]
        try:
            softmax = read_softmax(module, parent)
        except UnsupportedAttention as error:
            raise ValueError(
                f'the {type(module).__name__} {name!r} cannot be replaced: '
                f'{error}. keep=({name!r},) leaves it as it is'
            ) from None
        if softmax is not None:
            found[name] = softmax
    if not found:
        raise ValueError(
            f'the {type(model).__name__} has no softmax attention to replace; give the whole model'
        )
    return found


def fit_anchors(
    model: nn.Module, batches: Iterable, num_anchors: int, per_head: bool, found: Found
) -> dict[str, Tensor]:
    """Compute anchors for the attentions of a model, by clustering.

    The anchors are cluster centers of queries and keys together. With M = 30
    they learn at least as fast as those of keys alone (``docs/conversion.md``).

    Args:
        model: The model, with softmax attention.
        batches: Batches of images, as in :func:`anchorize`.
        num_anchors: M, number of anchors.
        per_head: Whether each head has its own anchors; otherwise all heads
            are clustered together.
        found: Result of :func:`find_softmax`.

    Returns:
        Name of each attention -> its anchors, (heads, M, D) or (M, D).

    Raises:
        ValueError: If there are no images, they do not reach an attention, or
            they have fewer tokens than there are anchors.
    """
    samples = {name: _Sample() for name in found}
    with _watching(model, samples), as_at_test(model):
        for batch in batches:
            model(_images_of(model, batch))
    anchors = {}
    for name, softmax in found.items():
        tokens = samples[name].tokens
        if tokens is None:
            raise ValueError(
                f'calibration has no batch of images that reached {name!r}; give at least one'
            )
        with torch.no_grad():
            points = softmax.queries_and_keys(tokens.to(softmax.weight))
            if not per_head:
                points = points.flatten(0, 1).unsqueeze(0)
            means = kmeans(points.float(), num_anchors)
        anchors[name] = means if per_head else means.squeeze(0)
    return anchors


class _Sample:
    """A uniform sample of at most :data:`MAX_TOKENS` of all tokens seen."""

    def __init__(self) -> None:
        self.tokens: Tensor | None = None  # (T, C)
        self._priorities = torch.empty(0)
        self._generator = torch.Generator().manual_seed(SEED)

    def add(self, tokens: Tensor) -> None:
        """Add (B, N, C)."""
        tokens = tokens.detach().flatten(0, 1)
        drawn = torch.rand(len(tokens), generator=self._generator)
        if self.tokens is not None:
            tokens = torch.cat((self.tokens, tokens))
        self._priorities = torch.cat((self._priorities, drawn))
        if len(tokens) > MAX_TOKENS:
            self._priorities, index = self._priorities.topk(MAX_TOKENS)
            tokens = tokens[index.to(tokens.device)]
        self.tokens = tokens


@contextmanager
def _watching(model: nn.Module, samples: dict[str, _Sample]) -> Iterator[None]:
    """Sample the input tokens of the attentions of a model."""
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, sample=sample: sample.add(args[0])
        )
        for name, sample in samples.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def as_at_test(model: nn.Module, grad: bool = False) -> Iterator[None]:
    """Run in evaluation mode, without gradients unless ``grad``, and restore all modes."""
    modes: list[bool] = [module.training for module in model.modules()]
    model.eval()
    try:
        with torch.set_grad_enabled(grad):
            yield
    finally:
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode


def _images_of(model: nn.Module, batch: Any) -> Tensor:
    if isinstance(batch, dict):  # of MMEngine's loaders
        if not hasattr(model, 'data_preprocessor'):
            raise ValueError(
                'calibration has batches of MMEngine, but the '
                f'{type(model).__name__} has no data_preprocessor for them; give '
                'the whole model, or batches of images (B, 3, H, W)'
            )
        return model.data_preprocessor(batch, False)['inputs']
    images = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(images, Tensor) or images.dim() != 4:
        what = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f'calibration must have batches of images (B, 3, H, W), got {what}')
    param = next(model.parameters())
    return images.to(param.device, param.dtype)


def drawn_anchors(
    model: nn.Module, name: str, softmax: Softmax, num_anchors: int, per_head: bool
) -> Tensor:
    """Anchors of an attention from its query projection, without images."""
    width = softmax.embed_dims
    shape = (num_anchors, width // softmax.num_heads)
    bias = None if softmax.bias is None else softmax.bias[:width]
    with torch.no_grad():
        return queries_as_anchors(
            softmax.weight[:width],
            bias,
            _norm_before(model, name, softmax),
            (softmax.num_heads, *shape) if per_head else shape,
        )


def _norm_before(model: nn.Module, name: str, softmax: Softmax) -> tuple:
    """Weight and bias of the normalization before an attention."""
    parent, _, child = name.rpartition('.')
    norm = None
    for each, module in model.get_submodule(parent).named_children():
        if each == child:
            break
        norm = module if isinstance(module, nn.LayerNorm) else norm
    plain = softmax.weight.new_ones(softmax.embed_dims)
    weight, bias = getattr(norm, 'weight', None), getattr(norm, 'bias', None)
    return (plain if weight is None else weight, torch.zeros_like(plain) if bias is None else bias)


@torch.no_grad()
def with_anchors(
    old: nn.Module, softmax: Softmax, anchors: Tensor, **extra: Any
) -> LearnedAnchorAttention:
    """The attention that takes the place of a softmax attention.

    Args:
        old: The attention that is replaced.
        softmax: Its parts.
        anchors: The anchors, (heads, M, D) or (M, D).
        extra: More arguments of the new attention.
    """
    width = softmax.embed_dims
    new = softmax.replacement(
        width,
        softmax.num_heads,
        num_anchors=anchors.shape[-2],
        per_head_anchors=anchors.dim() == 3,
        qkv_bias=softmax.bias is not None,
        proj_drop=softmax.proj_drop,
        **softmax.parts,
        **extra,
    )
    new.to(softmax.weight)
    new.in_proj.weight.copy_(softmax.weight[width:])
    if softmax.bias is not None:
        new.in_proj.bias.copy_(softmax.bias[width:])
    new.in_proj.requires_grad_(softmax.weight.requires_grad)
    new.anchors.copy_(anchors)
    new.proj = softmax.proj
    if getattr(old, 'depthwise', None) is not None:
        new.depthwise = old.depthwise
    elif new.depthwise is not None:
        for param in new.depthwise.parameters():
            nn.init.zeros_(param)
    return new.train(old.training)
