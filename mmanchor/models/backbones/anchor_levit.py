"""AnchorLeViT: LeViT whose attention goes through anchors."""

from collections.abc import Sequence

import torch
from mmengine.model import ModuleList
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv_bn import ConvBN
from ..layers.levit_attention import LevitAnchorAttention, LevitAttention, LevitSoftmaxAttention
from ..layers.levit_block import LevitBlock
from ..layers.token_grid import infer_grid, resize_position_embedding
from .base import (
    BaseBackbone,
    is_exporting,
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
    """LeViT's layout with anchor attention in all its attentions.

    AnchorFormer (arXiv 2505.16463, Fig. 5b) on LeViT (arXiv 2104.01136): four
    convolutions of stride 2, then three stages of strides 16, 32 and 64; the
    second and the third start with an attention that subsamples. The paper
    shows the curve and does not say how LeViT is changed, so this is a
    reconstruction (:class:`~mmanchor.models.layers.LevitAnchorAttention`).

    LeViT tells positions by biases on the N x N matrix of each attention,
    which anchors do not have. Here a position embedding is added once, after
    the convolutions; it is resized to any image. With ``attention='softmax'``
    and its defaults this is LeViT itself.

    Args:
        arch: '128s', '128', '192', '256' or '384', or a dict with the keys
            ``embed_dims``, ``num_heads`` and ``depths``, a number per stage
            each, and ``key_dims``, the width of a head's keys. The first of
            ``embed_dims`` is a multiple of 8.
        attention: 'learned' for anchors, 'softmax' for LeViT's own.
        num_anchors: M, of 'learned'.
        per_head_anchors: Whether each head has its own anchors.
        img_size: Image size in pixels, (H, W) or one side, that everything
            which depends on positions is made for; another size of images
            or of a checkpoint resizes it.
        pos_embed: Whether there is a position embedding; ``None`` has one
            for 'learned' alone.
        out_indices: Stages whose outputs are returned, negative ones counted
            from the end. Stages after the last of them are not built.
        out_type: 'featmap' gives maps (B, C, H, W); 'avg_featmap' their means
            (B, C), as LeViT's classifier takes them.
        drop_path_rate: Probability that a residual branch is dropped for an
            image, the same in all blocks, in [0, 1).
        frozen_stages: 0 freezes the embedding, i > 0 the first i stages too,
            -1 nothing.
        norm_eval: Whether normalisations keep their statistics also while
            training.
        deploy: Build the folded form (see :meth:`switch_to_deploy`); it loads
            training checkpoints too.
        init_cfg: MMEngine's initialisation config; ``None`` draws maps as
            torch does, as LeViT has it.

    Attributes:
        out_channels: Widths of the returned maps.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> model = AnchorLeViT('128s', out_indices=(0, 1, 2)).eval()
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 64, 96))]
        [(1, 128, 4, 6), (1, 256, 2, 3), (1, 384, 1, 2)]
    """

    arch_settings = {
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
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(frozen_stages, norm_eval, init_cfg)
        settings = _check_arch(lookup_arch(arch, self.arch_settings))
        for name, value, allowed in (
            ('attention', attention, ATTENTIONS),
            ('out_type', out_type, self.out_types),
        ):
            if value not in allowed:
                raise ValueError(f'{name} must be one of {allowed}, got {value!r}')
        img_size = to_2tuple(img_size)
        if min(img_size) < PATCH_SIZE:
            raise ValueError(f'img_size={img_size} is smaller than a patch of {PATCH_SIZE} pixels')
        self.out_type = out_type
        widths = settings['embed_dims']
        self.out_indices = normalize_out_indices(out_indices, len(widths))
        self.out_channels = tuple(widths[i] for i in self.out_indices)
        self.stem = _stem(widths[0])
        self.grid = tuple(-(-side // PATCH_SIZE) for side in img_size)
        self.pos_embed = None
        if pos_embed or (pos_embed is None and attention == 'learned'):
            self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], widths[0]))
        if attention == 'learned':
            self._attention_args = dict(num_anchors=num_anchors, per_head_anchors=per_head_anchors)
        else:
            self._attention_args = None
        self._build_stages(settings, drop_path_rate)
        if deploy:
            self.switch_to_deploy()
        self._init_freezing()

    def _build_stages(self, settings: dict, drop_path_rate: float) -> None:
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
                grid = tuple(-(-side // 2) for side in grid)
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

    def _attention(self, grid: tuple[int, int], *args, **kwargs) -> LevitAttention:
        """An attention on a map of ``grid`` tokens."""
        if self._attention_args is None:
            return LevitSoftmaxAttention(*args, grid=grid, **kwargs)
        return LevitAnchorAttention(*args, **self._attention_args, **kwargs)

    def init_weights(self) -> None:
        """Initialise as LeViT does, or as ``init_cfg`` says."""
        super().init_weights()
        if self.pos_embed is not None and not is_pretrained(self.init_cfg):
            nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> tuple:
        """Map images to features.

        Args:
            x: Images, (B, 3, H, W), of any size from 16 x 16 on.

        Returns:
            Of each of ``out_indices`` what ``out_type`` says; maps are
            (B, C, H / stride, W / stride), sides rounded up.
        """
        require_patch(x, PATCH_SIZE)
        x = self.stem(x)
        hw_shape = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2)  # (B, N, C)
        if self.pos_embed is not None:
            x = x + self._position_embedding(hw_shape)
        outs = []
        for i, blocks in enumerate(self.stages):
            for block in blocks:
                x, hw_shape = block(x, hw_shape)
            if i in self.out_indices:
                outs.append(self._format_output(x, hw_shape))
        return tuple(outs)

    def _position_embedding(self, hw_shape: tuple[int, int]) -> Tensor:
        # An exported graph serves every size, so it always resizes; at the
        # embedding's own size that is the identity.
        if not is_exporting() and tuple(hw_shape) == self.grid:
            return self.pos_embed
        return resize_position_embedding(self.pos_embed, self.grid, hw_shape, 0)

    def _format_output(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        if self.out_type == 'avg_featmap':
            return x.mean(dim=1)
        return x.transpose(1, 2).unflatten(2, hw_shape).contiguous()

    def switch_to_deploy(self) -> None:
        """Fold normalisations into maps, and anchors too, in place; exact.

        Anchors fold where that saves multiply-adds (see
        :class:`~mmanchor.models.layers.LevitAnchorAttention`).
        """
        for module in self.modules():
            if module is not self and hasattr(module, 'switch_to_deploy'):
                module.switch_to_deploy()

    def _stages(self) -> list:
        embedding = [self.stem]
        if self.pos_embed is not None:
            embedding.append(self.pos_embed)
        return [embedding, *([stage] for stage in self.stages)]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Fit the checkpoint's position embedding to this model first."""
        name = f'{prefix}pos_embed'
        loaded = state_dict.get(name)
        if (
            self.pos_embed is not None
            and loaded is not None
            and (loaded.dim() == 3 and loaded.shape != self.pos_embed.shape)
        ):
            source = infer_grid(loaded.shape[1], self.grid)
            if source is not None:
                state_dict[name] = resize_position_embedding(loaded, source, self.grid, 0)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _stem(width: int) -> nn.Sequential:
    """Images to tokens of stride 16: four convolutions, doubling in width."""
    channels = (3, *(width // part for part in (8, 4, 2, 1)))
    layers = []
    for before, after in zip(channels, channels[1:]):
        layers += [ConvBN(before, after), nn.Hardswish()]
    return nn.Sequential(*layers[:-1])


def _check_arch(settings: dict) -> dict:
    widths = settings['embed_dims']
    for name in ('num_heads', 'depths'):
        if len(settings[name]) != len(widths):
            raise ValueError(
                f'arch: {name} must hold a number for each of the '
                f'{len(widths)} stages of embed_dims, got {settings[name]}'
            )
        if min(settings[name]) < 1:
            raise ValueError(f'arch: {name} must be 1 or more in each stage, got {settings[name]}')
    if widths[0] % 8:
        raise ValueError(f'arch: embed_dims must start with a multiple of 8, got {widths[0]}')
    if not 1 <= settings['key_dims'] <= min(widths):
        raise ValueError(
            'arch: key_dims must be 1 to the smallest of '
            f'embed_dims {min(widths)}, got '
            f'{settings["key_dims"]}'
        )
    return settings
