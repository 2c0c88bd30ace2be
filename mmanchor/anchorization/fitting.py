"""Anchors in the place of softmax attention, in a model that exists."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..models.layers import LearnedAnchorAttention
from .anchors import SEED, kmeans, queries_as_anchors
from .softmax_modules import Softmax, UnsupportedAttention, read_softmax

# Of each layer, drawn evenly from all images: bounds memory and time.
MAX_TOKENS = 4096

# By the names of the modules.
Found = dict[str, Softmax]


def anchorize(
    model: nn.Module,
    num_anchors: int = 30,
    calibration: Iterable | None = None,
    *,
    per_head: bool = True,
    keep: Sequence[str] = (),
) -> nn.Module:
    """Replace softmax attention by learned anchors, in place.

    Known are :class:`~mmanchor.models.layers.SoftmaxAttention` (in an
    ``AnchorFormer``, a classifier, a segmentor or a detector) and the
    attentions of the ``VisionTransformer`` of mmpretrain, timm and
    torchvision. Keys, values and the output projection stay as they are; a
    query projection has no place. Dropout of attention weights goes too.

    Args:
        model: The model; its attentions are replaced.
        num_anchors: M, of every attention.
        calibration: Batches of images that the model takes: tensors (B, 3, H,
            W), tuples or lists that start with one, or what a loader of
            MMEngine gives. The anchors become the means of clusters of the
            queries and keys in them. ``None`` draws anchors from the query
            projection, see :func:`~mmanchor.converters.queries_as_anchors`.
        per_head: Whether each head has its own anchors.
        keep: Names of modules that are left alone.

    Returns:
        ``model``. Each new module has ``switch_to_deploy``. ``init_weights``
        of a model of MMEngine counts as done.

    Raises:
        ValueError: If ``num_anchors`` is below 1, the model has no softmax
            attention or one that cannot be replaced (the message names it),
            or the images give fewer tokens than anchors. The model is then
            as it was.

    Example:
        >>> from mmanchor.models import AnchorFormer
        >>> model = AnchorFormer('tiny', img_size=32, attention='softmax')
        >>> images = torch.rand(2, 1, 3, 64, 64)
        >>> type(anchorize(model, 8, images).layers[0].attn).__name__
        'LearnedAnchorAttention'
    """
    if num_anchors < 1:
        raise ValueError(f'num_anchors must be at least 1, got {num_anchors}')
    found = find_softmax(model, keep)
    if calibration is None:
        anchors = {
            name: _drawn(model, name, softmax, num_anchors, per_head)
            for name, softmax in found.items()
        }
    else:
        anchors = fit_anchors(model, calibration, num_anchors, per_head, found)
    new = {
        name: _with_anchors(model.get_submodule(name), softmax, anchors[name])
        for name, softmax in found.items()
    }
    for name, module in new.items():
        parent, _, child = name.rpartition('.')
        setattr(model.get_submodule(parent), child, module)
    for module in model.modules():
        # Else MMEngine's Runner would draw all weights anew before training.
        if isinstance(module, BaseModule):
            module.is_init = True
    return model


def find_softmax(model: nn.Module, keep: Sequence[str] = ()) -> Found:
    """All softmax attentions of a model.

    Args:
        model: Any model.
        keep: Names of modules that are passed over, with all they contain.

    Returns:
        Name -> what anchors need of it.

    Raises:
        ValueError: If there is none, one cannot be replaced, or ``keep``
            names no module.
    """
    names = dict(model.named_modules())
    unknown = [name for name in keep if name not in names]
    if unknown:
        raise ValueError(
            f'keep names {unknown[0]!r}, which is no module of the {type(model).__name__}'
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
                f'{error}. keep=({name!r}, ) leaves it alone'
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
    """Anchors for attentions of a model: means of what they compare.

    An anchor is compared with keys, as a query is, and tokens that share it
    attend to each other, as their keys are alike: clusters of both learn as
    fast as clusters of keys, or faster at M = 30 (``docs/conversion.md``).

    Args:
        model: The model, with softmax attention.
        batches: Images, as :func:`anchorize` takes them.
        num_anchors: M.
        per_head: Whether each head has its own; otherwise all heads are
            clustered together.
        found: What :func:`find_softmax` found.

    Returns:
        Name -> anchors, (heads, M, D) or (M, D).
    """
    samples = {name: _Sample() for name in found}
    with _watching(model, samples), _as_at_test(model):
        for batch in batches:
            model(_images_of(model, batch))
    anchors = {}
    for name, softmax in found.items():
        tokens = samples[name].tokens
        if tokens is None:
            raise ValueError(
                f'calibration gave no batch of images that reached {name!r}; give at least one'
            )
        with torch.no_grad():
            points = softmax.queries_and_keys(tokens.to(softmax.weight))
            if not per_head:
                points = points.flatten(0, 1).unsqueeze(0)
            means = kmeans(points.float(), num_anchors)
        anchors[name] = means if per_head else means.squeeze(0)
    return anchors


class _Sample:
    """At most :data:`MAX_TOKENS` of all tokens seen, each as likely."""

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
    """Sample the tokens that attentions of the model are given."""
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
def _as_at_test(model: nn.Module) -> Iterator[None]:
    """Run without dropout and gradients; every mode is put back after it."""
    modes: list[bool] = [module.training for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode


def _images_of(model: nn.Module, batch: Any) -> Tensor:
    if isinstance(batch, dict):  # of MMEngine's loaders
        if not hasattr(model, 'data_preprocessor'):
            raise ValueError(
                "calibration gives batches of MMEngine's, which the "
                f'{type(model).__name__} has no data_preprocessor for; give '
                'the whole classifier, or batches of images (B, 3, H, W)'
            )
        return model.data_preprocessor(batch, False)['inputs']
    images = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    if not isinstance(images, Tensor) or images.dim() != 4:
        what = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f'calibration must give batches of images (B, 3, H, W), got {what}')
    param = next(model.parameters())
    return images.to(param.device, param.dtype)


def _drawn(
    model: nn.Module, name: str, softmax: Softmax, num_anchors: int, per_head: bool
) -> Tensor:
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
    """Weight and bias of the normalisation just before an attention."""
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
def _with_anchors(old: nn.Module, softmax: Softmax, anchors: Tensor) -> LearnedAnchorAttention:
    width = softmax.embed_dims
    new = softmax.kind(
        width,
        softmax.num_heads,
        num_anchors=anchors.shape[-2],
        per_head_anchors=anchors.dim() == 3,
        qkv_bias=softmax.bias is not None,
        proj_drop=softmax.proj_drop,
        **softmax.parts,
    )
    new.to(softmax.weight)
    new.in_proj.weight.copy_(softmax.weight[width:])
    if softmax.bias is not None:
        new.in_proj.bias.copy_(softmax.bias[width:])
    new.in_proj.requires_grad_(softmax.weight.requires_grad)
    new.anchors.copy_(anchors)
    new.proj = softmax.proj
    new.depthwise = getattr(old, 'depthwise', None)
    return new.train(old.training)
