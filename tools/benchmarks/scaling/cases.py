"""What ``mmanchor benchmark scaling`` runs: attentions alone, and trunks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmanchor.models.backbones import AnchorFormer
from tools.benchmarks.rivals import OURS, SOFTMAX, SPARSIFINERS, ShapeGemms, build_rivals

PATCH_SIZE = 16
GEMMS = 'GEMMs of its shapes'
TRUNK = 'AnchorFormer (ours)'
ALONE = 'all its linear layers alone'
LESS_ALONE = 'its projections to scores and MLPs alone'
# The trunk in bands: a band's work fits into a core's cache.
CHUNK_TOKENS = 2048
BANDS = f'{TRUNK}, chunk_tokens={CHUNK_TOKENS}'
DTYPES = dict(float32=torch.float32, bfloat16=torch.bfloat16, float16=torch.float16)


@dataclass(frozen=True)
class Setting:
    """What is the same at every number of tokens.

    Args:
        batch: B.
        heads: Number of heads.
        head_dims: D.
        anchors: M, also of agents, bases and inducing points.
        trunk_depth: Number of layers of the trunks.
        device: 'cpu' or a CUDA device.
        dtype: A name of :data:`DTYPES`.
    """

    batch: int = 1
    heads: int = 6
    head_dims: int = 64
    anchors: int = 30
    trunk_depth: int = 12
    device: str = 'cpu'
    dtype: str = 'float32'


@dataclass(frozen=True)
class Case:
    """A row of the tables.

    Args:
        name: Its name in tables.
        build: Builds the module from N, and whether it is trained.
        kind: 'ours', 'rival' or 'bound': not a whole model, but work that
            ours cannot do without.
        time_power: Power of N that its multiply-adds grow with at most.
        memory_power: The same for its memory. If it is 1, parameters do not
            grow with N.
        has_step: Whether the module's forward does the work of a whole
            training step, so that there is nothing to differentiate.
    """

    name: str
    build: Callable[[int, bool], nn.Module]
    kind: str = 'rival'
    time_power: int = 1
    memory_power: int = 1
    has_step: bool = False


@dataclass(frozen=True)
class Part:
    """Cases that are compared.

    Args:
        name: Its name on the command line.
        title: A heading.
        inputs: Makes the inputs of all cases for N tokens.
        cases: The others are compared with the first.
    """

    name: str
    title: str
    inputs: Callable[[int], tuple[Tensor, ...]]
    cases: tuple[Case, ...]


class Prepared(NamedTuple):
    """A case at one size.

    Args:
        call: Runs it once.
        inputs: Bytes of its inputs.
        params: Bytes of its parameters and buffers.
    """

    call: Callable[[], object]
    inputs: int
    params: int

    @property
    def held(self) -> int:
        """Bytes that exist before the call."""
        return self.inputs + self.params


def prepare(
    case: Case, tokens: int, inputs: tuple[Tensor, ...], backward: bool, setting: Setting
) -> Prepared:
    """Build a case for one number of tokens.

    Args:
        case: The case.
        tokens: N.
        inputs: The part's inputs for N.
        backward: Whether the call is a training step: the forward pass, and
            the gradients of all parameters and of those ``inputs`` that
            require them. Otherwise it is the forward pass alone.
        setting: The device and the dtype.

    Returns:
        The call, and the bytes held for it.
    """
    module = case.build(tokens, backward)
    module = module.to(setting.device, DTYPES[setting.dtype])
    module.train(backward)
    held = (
        sum(each.nbytes for each in inputs),
        sum(each.nbytes for each in (*module.parameters(), *module.buffers())),
    )
    if not backward or case.has_step:
        return Prepared(torch.inference_mode()(lambda: module(*inputs)), *held)
    leaves = [each for each in (*inputs, *module.parameters()) if each.requires_grad]
    # The gradient of the output is the same in every call. The first call
    # makes it, as its shape is known from the output only.
    above: list[Tensor] = []

    def step() -> tuple[Tensor, ...]:
        out = module(*inputs)
        out = out[0] if isinstance(out, tuple) else out
        if not above:
            above.append(torch.rand_like(out))
        # An attention without queries has no gradient for them.
        return torch.autograd.grad(out, leaves, above[0], allow_unused=True)

    return Prepared(step, *held)


def attention_part(setting: Setting, backward: bool) -> Part:
    """Attentions alone, on given queries, keys and values."""

    def inputs(tokens: int) -> tuple[Tensor, ...]:
        size = (3, setting.batch, setting.heads, tokens, setting.head_dims)
        stacked = torch.randn(size, dtype=DTYPES[setting.dtype], device=setting.device)
        return tuple(each.requires_grad_(backward) for each in stacked.unbind())

    rivals = build_rivals(setting.heads, setting.head_dims, setting.anchors)
    cases = [_attention_case(name, build) for name, build in rivals.items()]
    cases.append(
        Case(
            GEMMS,
            lambda tokens, backward: ShapeGemms(
                setting.batch * setting.heads, tokens, setting.head_dims, setting.anchors, backward
            ),
            kind='bound',
            has_step=True,
        )
    )
    title = f'Attention alone, {setting.heads} heads of {setting.head_dims}, M = {setting.anchors}'
    return Part('attention', title, inputs, tuple(cases))


def _attention_case(name: str, build: Callable[[int], nn.Module]) -> Case:
    sparse = name in SPARSIFINERS.values()
    return Case(
        name,
        lambda tokens, backward: build(tokens),
        kind='ours' if name == OURS else 'rival',
        time_power=2 if sparse or name == SOFTMAX else 1,
        memory_power=2 if sparse else 1,
    )


def trunk_part(setting: Setting, backward: bool) -> Part:
    """AnchorFormer and its softmax twin, from images to the last map."""

    def inputs(tokens: int) -> tuple[Tensor, ...]:
        size = [side * PATCH_SIZE for side in grid_of(tokens)]
        return (
            torch.rand(setting.batch, 3, *size, dtype=DTYPES[setting.dtype], device=setting.device),
        )

    def trunk(tokens: int, backward: bool, **change: Any) -> AnchorFormer:
        return AnchorFormer(
            dict(
                embed_dims=setting.heads * setting.head_dims,
                num_layers=setting.trunk_depth,
                num_heads=setting.heads,
                mlp_ratio=4,
            ),
            img_size=tuple(side * PATCH_SIZE for side in grid_of(tokens)),
            patch_size=PATCH_SIZE,
            num_anchors=setting.anchors,
            deploy=not backward,
            **change,
        )

    cases = [
        Case('softmax twin (SDPA)', partial(trunk, attention='softmax'), time_power=2),
        Case(TRUNK, trunk, kind='ours'),
        *(
            Case(name, partial(_alone, trunk, through), kind='bound')
            for through, name in ((True, ALONE), (False, LESS_ALONE))
        ),
    ]
    if not backward:
        cases.append(Case(BANDS, partial(trunk, chunk_tokens=CHUNK_TOKENS), kind='ours'))
    title = (
        f'Trunk of {setting.trunk_depth} layers, {setting.heads} heads '
        f'of {setting.head_dims}, M = {setting.anchors}'
    )
    return Part('trunk', title, inputs, tuple(cases))


def _alone(
    trunk: Callable[..., AnchorFormer], through: bool, tokens: int, backward: bool
) -> nn.Module:
    return ProjectionsAlone(trunk(tokens, backward), through)


class ProjectionsAlone(nn.Module):
    """Linear layers of a trunk, and nothing that mixes tokens.

    Every token goes through the projection to scores (or to keys) of each
    attention, and through the MLP with its GELU.

    Args:
        trunk: An ``AnchorFormer`` with learned anchors.
        through: Whether tokens also go through the projections to values and
            of the output. The training form applies these to every token, the
            deploy form only to the means of the anchors.
    """

    def __init__(self, trunk: AnchorFormer, through: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.through = through

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> tokens (B, N, C)."""
        x = self.trunk.patch_embed(images)[0]
        for layer in self.trunk.layers:
            weight, width = layer.attn.in_proj.weight, x.shape[-1]
            out = F.linear(x, weight[:-width])
            if self.through:
                out = layer.attn.proj(F.linear(x, weight[-width:]))
            x = layer.mlp(x, identity=out if self.through else x)
        return x


# Parts by the names that `--parts` takes.
PARTS: dict[str, Callable[[Setting, bool], Part]] = dict(attention=attention_part, trunk=trunk_part)


def grid_of(tokens: int) -> tuple[int, int]:
    """Height and width of the map of N tokens that is closest to a square.

    Args:
        tokens: N, at least 1.

    Example:
        >>> grid_of(4096), grid_of(24), grid_of(7)
        ((64, 64), (4, 6), (1, 7))
    """
    height = math.isqrt(tokens)
    while tokens % height:
        height -= 1
    return height, tokens // height
