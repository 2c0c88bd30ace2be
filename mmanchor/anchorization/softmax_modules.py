"""Softmax attentions that anchors can replace, recognised by their make.

No library is imported for it: a class is known by its name and its parts.
"""

from dataclasses import dataclass, field

from torch import Tensor, nn

from ..models.layers import LearnedAnchorAttention, SoftmaxAttention
from ..models.layers.attention import Attention
from ..models.layers.drop_in import (
    MMPretrainAnchorAttention,
    TimmAnchorAttention,
    TorchvisionAnchorAttention,
)

# What a module that mixes tokens is called, in the libraries we know.
ATTENTION_NAMES = ('Attention', 'MSA')


@dataclass
class Softmax:
    """What anchors need of a softmax attention, whose ever it is.

    Args:
        num_heads: Number of heads.
        weight: Of the input projection, (3 * C, C): queries, keys, values.
        bias: Its bias, (3 * C, ), or ``None``.
        proj: The output projection, which is kept.
        proj_drop: Dropout rate of the output.
        kind: The class that takes its place.
        parts: Further modules that ``kind`` takes over, by their names.
    """

    num_heads: int
    weight: Tensor
    bias: Tensor | None
    proj: nn.Linear
    proj_drop: float
    kind: type[LearnedAnchorAttention]
    parts: dict[str, nn.Module] = field(default_factory=dict)

    @property
    def embed_dims(self) -> int:
        """C, the width of a token."""
        return self.weight.shape[1]

    def queries_and_keys(self, tokens: Tensor) -> Tensor:
        """Both of tokens (T, C), by head: (heads, 2 * T, D)."""
        rows = 2 * self.embed_dims
        bias = None if self.bias is None else self.bias[:rows]
        points = nn.functional.linear(tokens, self.weight[:rows], bias)
        points = points.unflatten(1, (2, self.num_heads, -1))
        return points.permute(2, 1, 0, 3).flatten(1, 2)


class UnsupportedAttention(ValueError):
    """An attention that anchors cannot replace as it is; says why."""


def read_softmax(module: nn.Module, parent: nn.Module) -> Softmax | None:
    """Recognise a softmax attention.

    Args:
        module: Any part of a model.
        parent: What it is a part of.

    Returns:
        What anchors need of it; ``None`` if it is no attention, or one of
        ours that has anchors.

    Raises:
        UnsupportedAttention: If it is an attention that cannot be replaced.
    """
    if isinstance(module, SoftmaxAttention):
        return Softmax(
            module.num_heads,
            module.in_proj.weight,
            module.in_proj.bias,
            module.proj,
            module.proj_drop.p,
            LearnedAnchorAttention,
        )
    if isinstance(module, Attention):
        return None
    if isinstance(module, nn.MultiheadAttention):
        return _read_torchvision(module, parent)
    name = type(module).__name__
    if isinstance(getattr(module, 'qkv', None), nn.Linear):
        parts = dict(module.named_children())
        if name == 'Attention' and {'q_norm', 'k_norm'} <= parts.keys():
            return _read_timm(module)
        if name == 'MultiheadAttention' and {'gamma1', 'out_drop'} <= parts.keys():
            return _read_mmpretrain(module)
    elif not name.endswith(ATTENTION_NAMES):
        return None
    raise UnsupportedAttention('it is of a class that is not known')


def _read_timm(module: nn.Module) -> Softmax:
    for name in ('q_norm', 'k_norm', 'norm', 'gate'):
        part = getattr(module, name, None)
        if part is not None and not isinstance(part, nn.Identity):
            option = dict(norm='scale_norm', gate='gated').get(name, 'qk_norm')
            raise UnsupportedAttention(
                f'it has {name}, as {option} gives it, which anchors have not'
            )
    _check_parameters(module)
    _check_scale(module)
    return Softmax(
        module.num_heads, *_square(module), module.proj, module.proj_drop.p, TimmAnchorAttention
    )


def _read_mmpretrain(module: nn.Module) -> Softmax:
    if module.v_shortcut:
        raise UnsupportedAttention('it has v_shortcut=True')
    _check_parameters(module)
    return Softmax(
        module.num_heads,
        *_square(module),
        module.proj,
        module.proj_drop.p,
        MMPretrainAnchorAttention,
        dict(gamma1=module.gamma1, out_drop=module.out_drop),
    )


def _read_torchvision(module: nn.MultiheadAttention, parent: nn.Module) -> Softmax:
    if type(parent).__name__ != 'EncoderBlock':
        raise UnsupportedAttention(
            f'it is part of a {type(parent).__name__}; of those with '
            "nn.MultiheadAttention only torchvision's EncoderBlock is known "
            'to call it on one sequence'
        )
    if (
        module.in_proj_weight is None
        or not module.batch_first
        or module.bias_k is not None
        or module.add_zero_attn
    ):
        raise UnsupportedAttention('it has kdim, vdim, bias_k or add_zero_attn, or not batch_first')
    return Softmax(
        module.num_heads,
        module.in_proj_weight,
        module.in_proj_bias,
        module.out_proj,
        0.0,
        TorchvisionAnchorAttention,
    )


def _square(module: nn.Module):
    """Weight and bias of ``qkv``, if all widths are that of a token."""
    weight = module.qkv.weight
    width = weight.shape[1]
    if weight.shape[0] != 3 * width or module.proj.out_features != width:
        raise UnsupportedAttention(
            f'its heads have {weight.shape[0] // 3} channels together and its '
            f'output {module.proj.out_features}; both must be the '
            f"{width} of its input's"
        )
    return weight, module.qkv.bias


def _check_parameters(module: nn.Module) -> None:
    """Such as a bias of relative positions."""
    for name, _ in module.named_parameters(recurse=False):
        raise UnsupportedAttention(f'it has the parameter {name}, which anchors have not')


def _check_scale(module: nn.Module) -> None:
    usual = (module.qkv.weight.shape[0] // 3 // module.num_heads) ** -0.5
    if abs(module.scale / usual - 1) > 1e-6:
        raise UnsupportedAttention(f'it scales scores by {module.scale:g}, not by {usual:g}')
