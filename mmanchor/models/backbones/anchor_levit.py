"""AnchorLeViT: LeViT with anchor attention."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from mmengine.model import ModuleList
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv_bn import ConvBN
from ..layers.exporting import is_exporting
from ..layers.levit.attention import LevitAnchorAttention, LevitAttention, LevitSoftmaxAttention
from ..layers.levit.block import LevitBlock
from ..layers.token_grid import infer_grid, resize_position_embedding
from .base import (
    BaseBackbone,
    InitCfg,
    is_pretrained,
    lookup_arch,
    normalize_out_indices,
    require_patch,
)

PATCH_SIZE = 16
# Width of a head's values over that of its keys, and where a map is
# subsampled, which has to carry what the lost tokens knew.
VALUE_RATIO, DOWN_VALUE_RATIO = 2, 4
ATTENTIONS = ('learned', 'softmax')


@MODELS.register_module()
class AnchorLeViT(BaseBackbone):
    """LeViT with anchor attention in place of all its attentions.

    AnchorFormer (arXiv 2505.16463, Fig. 5b) on LeViT (arXiv 2104.01136): four
    convolutions of stride 2, then three stages of strides 16, 32 and 64; the
    second and third stage start with a subsampling attention. The paper shows
    results but not how LeViT is changed, so this is a reconstruction
    (:class:`~mmanchor.models.layers.LevitAnchorAttention`).

    LeViT encodes positions by biases on the N x N matrix of each attention,
    which anchor attention does not have. Here a position embedding is added
    once, after the convolutions; it is resized for other image sizes. With
    ``attention='softmax'`` and its defaults this is LeViT.

    Args:
        arch: '128s', '128', '192', '256' or '384', or a dict with the keys
            ``embed_dims``, ``num_heads`` and ``depths``, one number per stage
            each, and ``key_dims``, the width of a head's keys. The first of
            ``embed_dims`` is a multiple of 8.
        attention: 'learned' for anchors, 'softmax' for LeViT's attention.
        num_anchors: M, number of anchors for 'learned'.
        per_head_anchors: Whether each head has its own anchors.
        img_size: Image size in pixels, (H, W) or one side, that
            position-dependent weights are made for; for images and
            checkpoints of another size they are resized.
        pos_embed: Whether there is a position embedding; ``None`` means only
            for 'learned'.
        out_indices: Stages whose outputs are returned; negative ones count
            from the end. Stages after the last of them are not built.
        out_type: 'featmap' returns maps (B, C, H, W); 'avg_featmap' their
            means (B, C), as the classifier of LeViT takes them.
        drop_path_rate: Probability that a residual branch is dropped for an
            image, the same in all blocks, in [0, 1).
        frozen_stages: -1 freezes nothing, 0 the embedding, i > 0 also the
            first i stages.
        norm_eval: Whether batch normalizations keep their statistics in
            training.
        deploy: Build the form fused for deployment (see
            :meth:`switch_to_deploy`); it loads training checkpoints, too.
        init_cfg: MMEngine's initialization config; ``None`` takes torch's
            initialization of linear layers and convolutions, as LeViT does.

    Attributes:
        out_channels: Channels of the returned maps.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> model = AnchorLeViT('128s', out_indices=(0, 1, 2)).eval()
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 64, 96))]
        [(1, 128, 4, 6), (1, 256, 2, 3), (1, 384, 1, 2)]
    """

    arch_settings: ClassVar[dict[str, dict[str, Any]]] = {
        '128s': dict(
            embed_dims=(128, 256, 384), num_heads=(4, 6, 8), depths=(2, 3, 4), key_dims=16
        ),
        '128': dict(
            embed_dims=(128, 256, 384), num_heads=(4, 8, 12), depths=(4, 4, 4), key_dims=16
        ),
        '192': dict(embed_dims=(192, 288, 384), num_heads=(3, 5, 6), depths=(4, 4, 4), key_dims=32),
        '256': dict(embed_dims=(256, 384, 512), num_heads=(4, 6, 8), depths=(4, 4, 4), key_dims=32),
        '384': dict(
            embed_dims=(384, 512, 768), num_heads=(6, 9, 12), depths=(4, 4, 4), key_dims=32
        ),
    }
    out_types = ('featmap', 'avg_featmap')

    def __init__(
        self,
        arch: str | dict = '256',
        *,
        attention: str = 'learned',
        num_anchors: int = 30,
        per_head_anchors: bool = False,
        img_size: int | tuple[int, int] = 224,
        pos_embed: bool | None = None,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'featmap',
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        deploy: bool = False,
        init_cfg: InitCfg = None,
    ) -> None:
        super().__init__(frozen_stages, norm_eval, init_cfg)
        settings = _check_arch(lookup_arch(arch, self.arch_settings))
        for name, value, allowed in (
            ('attention', attention, ATTENTIONS),
            ('out_type', out_type, self.out_types),
        ):
            if value not in allowed:
                raise ValueError(f'{name} must be one of {allowed}, got {value!r}')
        height, width = to_2tuple(img_size)
        if min(height, width) < PATCH_SIZE:
            raise ValueError(
                f'img_size={(height, width)} is smaller than a patch of {PATCH_SIZE} pixels'
            )
        self.out_type = out_type
        widths = settings['embed_dims']
        self.out_indices = normalize_out_indices(out_indices, len(widths))
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self.stem = _stem(widths[0])
        self.grid = (-(-height // PATCH_SIZE), -(-width // PATCH_SIZE))
        self.pos_embed: nn.Parameter | None = None
        if pos_embed or (pos_embed is None and attention == 'learned'):
            self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], widths[0]))
        self._anchor_args: dict[str, Any] | None = None
        if attention == 'learned':
            self._anchor_args = dict(num_anchors=num_anchors, per_head_anchors=per_head_anchors)
        self._build_stages(settings, drop_path_rate)
        if deploy:
            self.switch_to_deploy()
        self._init_freezing()

    def _build_stages(self, settings: dict[str, Any], drop_path_rate: float) -> None:
        widths, key_dims = settings['embed_dims'], settings['key_dims']
        grid = self.grid
        self.stages = ModuleList()
        for i in range(self.out_indices[-1] + 1):
            blocks = ModuleList()
            if i > 0:
                attn = self._attention(
                    grid,
                    widths[i - 1],
                    widths[i - 1] // key_dims,
                    key_dims,
                    value_dims=DOWN_VALUE_RATIO * key_dims,
                    out_dims=widths[i],
                    stride=2,
                )
                blocks.append(LevitBlock(attn, widths[i], drop_path_rate=drop_path_rate))
                grid = (-(-grid[0] // 2), -(-grid[1] // 2))
            for _ in range(settings['depths'][i]):
                attn = self._attention(
                    grid,
                    widths[i],
                    settings['num_heads'][i],
                    key_dims,
                    value_dims=VALUE_RATIO * key_dims,
                )
                blocks.append(LevitBlock(attn, widths[i], drop_path_rate=drop_path_rate))
            self.stages.append(blocks)

    def _attention(
        self, grid: tuple[int, int], embed_dims: int, num_heads: int, key_dims: int, **kwargs: Any
    ) -> LevitAttention:
        """An attention on a map of ``grid`` tokens."""
        if self._anchor_args is None:
            return LevitSoftmaxAttention(embed_dims, num_heads, key_dims, grid=grid, **kwargs)
        return LevitAnchorAttention(embed_dims, num_heads, key_dims, **self._anchor_args, **kwargs)

    def init_weights(self) -> None:
        """Initialize as LeViT does, or as ``init_cfg`` says."""
        super().init_weights()
        if self.pos_embed is not None and not is_pretrained(self.init_cfg):
            nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x: Images, (B, 3, H, W), of at least 16 x 16 pixels.

        Returns:
            One output for each of ``out_indices``, as ``out_type`` says; maps
            are (B, C, H / stride, W / stride), sides rounded up.

        Raises:
            ValueError: If the images are smaller than one patch.
        """
        require_patch(x, PATCH_SIZE)
        x = self.stem(x)
        hw_shape = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2)  # (B, N, C)
        if self.pos_embed is not None:
            x = x + self._resized(self.pos_embed, hw_shape)
        outs = []
        for i, blocks in enumerate(self.stages):
            for block in blocks:
                x, hw_shape = block(x, hw_shape)
            if i in self.out_indices:
                outs.append(self._format_output(x, hw_shape))
        return tuple(outs)

    def _resized(self, pos_embed: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        # An exported graph is for every size, so it always resizes; at the
        # embedding's own size that is the identity.
        if not is_exporting() and hw_shape == self.grid:
            return pos_embed
        return resize_position_embedding(pos_embed, self.grid, hw_shape, 0)

    def _format_output(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        if self.out_type == 'avg_featmap':
            return x.mean(dim=1)
        return x.transpose(1, 2).unflatten(2, hw_shape).contiguous()

    def switch_to_deploy(self) -> None:
        """Fold batch normalizations and anchors, in place; exact.

        Anchors are folded where that saves multiply-adds (see
        :class:`~mmanchor.models.layers.LevitAnchorAttention`).
        """
        for module in self.modules():
            if module is not self and hasattr(module, 'switch_to_deploy'):
                module.switch_to_deploy()

    def _stages(self) -> list[Iterable[nn.Module | nn.Parameter]]:
        embedding: list[nn.Module | nn.Parameter] = [self.stem]
        if self.pos_embed is not None:
            embedding.append(self.pos_embed)
        return [embedding, *([stage] for stage in self.stages)]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Resize the checkpoint's position embedding if needed."""
        name = f'{prefix}pos_embed'
        loaded, own = state_dict.get(name), self.pos_embed
        if (
            own is not None
            and loaded is not None
            and loaded.dim() == 3
            and loaded.shape != own.shape
        ):
            source = infer_grid(loaded.shape[1], self.grid)
            if source is not None:
                state_dict[name] = resize_position_embedding(loaded, source, self.grid, 0)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _stem(width: int) -> nn.Sequential:
    """Four convolutions to a map of stride 16, which double the channels."""
    channels = (3, *(width // part for part in (8, 4, 2, 1)))
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [ConvBN(before, after), nn.Hardswish()]
    return nn.Sequential(*layers[:-1])


def _check_arch(settings: dict) -> dict:
    widths = settings['embed_dims']
    for name in ('num_heads', 'depths'):
        if len(settings[name]) != len(widths):
            raise ValueError(
                f'arch: {name} must have one number for each of the '
                f'{len(widths)} stages of embed_dims, got {settings[name]}'
            )
        if min(settings[name]) < 1:
            raise ValueError(f'arch: {name} must be at least 1 in each stage, got {settings[name]}')
    if widths[0] % 8:
        raise ValueError(f'arch: embed_dims must start with a multiple of 8, got {widths[0]}')
    if not 1 <= settings['key_dims'] <= min(widths):
        raise ValueError(
            f'arch: key_dims must be 1 to {min(widths)}, the smallest of '
            f'embed_dims, got {settings["key_dims"]}'
        )
    return settings
