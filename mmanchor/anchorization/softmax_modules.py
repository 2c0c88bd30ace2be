"""Recognize softmax attentions that anchors can replace.

No library is imported for this: a class is recognized by its name and parts.
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

# Class names of attentions end like this in the supported libraries.
ATTENTION_NAMES = ('Attention', 'MSA')


@dataclass
class Softmax:
    """The parts of a softmax attention, from any library.

    Args:
        num_heads: Number of heads.
        weight: Weight of the input projection, (3 * C, C): queries, keys,
            values.
        bias: Its bias, (3 * C,), or ``None``.
        proj: The output projection, which is kept.
        proj_drop: Dropout rate of the output.
        replacement: The class that replaces the attention.
        parts: Other modules that the replacement keeps, by argument name.
    """

    num_heads: int
    weight: Tensor
    bias: Tensor | None
    proj: nn.Linear
    proj_drop: float
    replacement: type[LearnedAnchorAttention]
    parts: dict[str, nn.Module] = field(default_factory=dict)

    @property
    def embed_dims(self) -> int:
        """C, the width of a token."""
        return self.weight.shape[1]

    def queries_and_keys(self, tokens: Tensor) -> Tensor:
        """Queries and keys of tokens (T, C), by head: (heads, 2 * T, D)."""
        rows = 2 * self.embed_dims
        bias = None if self.bias is None else self.bias[:rows]
        points = nn.functional.linear(tokens, self.weight[:rows], bias)
        points = points.unflatten(1, (2, self.num_heads, -1))
        return points.permute(2, 1, 0, 3).flatten(1, 2)


class UnsupportedAttention(ValueError):
    """An attention that anchors cannot replace, with the reason."""


def read_softmax(module: nn.Module, parent: nn.Module) -> Softmax | None:
    """Recognize a softmax attention.

    Args:
        module: A module of a model.
        parent: The module that contains it.

    Returns:
        Its parts; ``None`` if it is no attention, or one of ours with
        anchors.

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
    raise UnsupportedAttention('its class is not supported')


def _read_timm(module: nn.Module) -> Softmax:
    for name in ('q_norm', 'k_norm', 'norm', 'gate'):
        part = getattr(module, name, None)
        if part is not None and not isinstance(part, nn.Identity):
            option = dict(norm='scale_norm', gate='gated').get(name, 'qk_norm')
            raise UnsupportedAttention(
                f'it has {name} (option {option}), which anchor attention does not have'
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
            f'it is an nn.MultiheadAttention in a {type(parent).__name__}; only '
            "torchvision's EncoderBlock is known to call it on one sequence"
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


def _square(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of ``qkv``, if input, heads and output have one width."""
    weight = module.qkv.weight
    width = weight.shape[1]
    if weight.shape[0] != 3 * width or module.proj.out_features != width:
        raise UnsupportedAttention(
            f'its heads have {weight.shape[0] // 3} channels in total and its '
            f'output {module.proj.out_features}; both must be {width}, as in its input'
        )
    return weight, module.qkv.bias


def _check_parameters(module: nn.Module) -> None:
    """Refuse parameters such as a relative position bias."""
    for name, _ in module.named_parameters(recurse=False):
        raise UnsupportedAttention(
            f'it has the parameter {name}, which anchor attention does not have'
        )


def _check_scale(module: nn.Module) -> None:
    usual = (module.qkv.weight.shape[0] // 3 // module.num_heads) ** -0.5
    if abs(module.scale / usual - 1) > 1e-6:
        raise UnsupportedAttention(f'it scales scores by {module.scale:g}, not by {usual:g}')
