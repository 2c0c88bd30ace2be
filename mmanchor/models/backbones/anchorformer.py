"""AnchorFormer: a DeiT whose attention goes through anchors."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import ModuleList
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...registry import MODELS
from ..layers.attention import ATTENTIONS, attention_config
from ..layers.banded_forward import check_chunk_tokens, forward_in_bands
from ..layers.block import TransformerBlock
from ..layers.exporting import is_exporting
from ..layers.token_grid import infer_grid, resize_position_embedding
from ..layers.token_layout import TokenLayout
from .base import (
    BaseBackbone,
    InitCfg,
    is_pretrained,
    lookup_arch,
    normalize_out_indices,
    require_patch,
)

# Values of out_type that return extra tokens, not patches.
TOKEN_TYPES = ('cls_token', 'tokens')


@MODELS.register_module()
class AnchorFormer(BaseBackbone):
    """Vision transformer in the layout of DeiT with anchor attention.

    AnchorFormer (arXiv 2505.16463) on DeiT (arXiv 2012.12877): one plain
    trunk for classification, detection and segmentation. Beyond the paper, it
    takes images of any size, can be fused for deployment, and takes any
    attention of :mod:`mmanchor.models.layers`.

    Args:
        arch: 'tiny', 'small' or 'base' (the sizes of DeiT), or a dict with
            the keys ``embed_dims``, ``num_layers``, ``num_heads`` and
            ``mlp_ratio``.
        img_size: Image size in pixels, (H, W) or one side, that the position
            embedding is made for; for images of another size it is resized.
        patch_size: Side of a patch in pixels, which is the stride of the maps.
        in_channels: Channels of the image.
        num_anchors: M, number of anchors of attentions that have anchors.
        attention: 'learned' (Fig. 3b), 'token' (Fig. 3a), 'softmax', or the
            config of an attention, whose values take precedence over
            ``num_anchors`` and ``deploy``.
        softmax_layers: Numbers of layers, from 0, that keep softmax attention
            whatever ``attention`` says, as in a network that was converted in
            part (``mmanchor anchorize --layers``).
        extra_tokens: Names of the extra tokens, ('cls',) or ('cls', 'dist');
            they come before the patches. Without extra tokens, the usual
            choice for dense tasks, only patches attend to each other.
        out_indices: Layers whose outputs are returned; negative ones count
            from the end. Layers after the last of them are not built.
        out_type: 'featmap' returns maps (B, C, H, W); 'avg_featmap' their
            means (B, C); 'cls_token' the class token, (B, C); 'tokens' the
            extra tokens, (B, C) for one and a tuple of (B, C) for two, as
            mmpretrain's heads take them.
        final_norm: Whether to normalize the output of the last layer.
        drop_rate: Dropout rate after the embedding and in MLPs, in [0, 1].
        drop_path_rate: Drop-path rate of the last layer, in [0, 1); it grows
            linearly from 0 at the first layer.
        norm_cfg: Config of the normalizations; ``None`` takes LN with epsilon
            1e-6.
        frozen_stages: -1 freezes nothing, 0 the embedding, i > 0 also the
            first i layers.
        with_cp: Whether to save memory in training by recomputing each layer
            in the backward pass.
        chunk_tokens: Run inference in bands of whole rows, of at most this
            many tokens each, for images whose forward pass does not fit in
            memory. Exact: the attention stays global. Learned anchors only;
            maps are channels last. ``None`` runs all tokens at once.
        deploy: Build the form fused for deployment (see
            :meth:`switch_to_deploy`); it loads training checkpoints, too.
        init_cfg: MMEngine's initialization config.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> model = AnchorFormer('tiny', img_size=64, out_indices=(5, 11))
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 64, 96))]
        [(1, 192, 4, 6), (1, 192, 4, 6)]
    """

    arch_settings: ClassVar[dict[str, dict[str, Any]]] = {
        'tiny': dict(embed_dims=192, num_layers=12, num_heads=3, mlp_ratio=4),
        'small': dict(embed_dims=384, num_layers=12, num_heads=6, mlp_ratio=4),
        'base': dict(embed_dims=768, num_layers=12, num_heads=12, mlp_ratio=4),
    }
    out_types = ('featmap', 'avg_featmap', 'cls_token', 'tokens')
    # Subclasses may use another block.
    block_type: type[TransformerBlock] = TransformerBlock

    def __init__(
        self,
        arch: str | dict = 'small',
        *,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        num_anchors: int = 30,
        attention: str | dict = 'learned',
        softmax_layers: Sequence[int] = (),
        extra_tokens: Sequence[str] = (),
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'featmap',
        final_norm: bool = True,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        with_cp: bool = False,
        chunk_tokens: int | None = None,
        deploy: bool = False,
        init_cfg: InitCfg = None,
    ) -> None:
        super().__init__(frozen_stages, init_cfg=init_cfg)
        settings = lookup_arch(arch, self.arch_settings)
        self.embed_dims = settings['embed_dims']
        self.num_layers = settings['num_layers']
        self.out_indices = normalize_out_indices(out_indices, self.num_layers)
        self.extra_tokens = _check_extra_tokens(extra_tokens)
        self.out_type = self._check_out_type(out_type)
        self.with_cp = with_cp
        height, width = to_2tuple(img_size)
        self._build_embedding(in_channels, (height, width), patch_size)
        self.drop_after_pos = nn.Dropout(drop_rate)
        norm_cfg = norm_cfg or dict(type='LN', eps=1e-6)
        block = dict(mlp_ratio=settings['mlp_ratio'], drop_rate=drop_rate, norm_cfg=norm_cfg)
        attentions = self._attentions(
            attention_config(attention, settings['num_heads'], num_anchors, deploy), softmax_layers
        )
        last = self.num_layers - 1
        rates = (drop_path_rate * i / max(last, 1) for i in range(self.out_indices[-1] + 1))
        self.layers = ModuleList(
            self.block_type(self.embed_dims, attention=each, drop_path_rate=rate, **block)
            for each, rate in zip(attentions, rates, strict=False)
        )
        self.norm = None
        if final_norm and self.out_indices[-1] == last:
            self.norm = build_norm_layer(norm_cfg, self.embed_dims)[1]
        self.chunk_tokens = chunk_tokens
        if chunk_tokens is not None:
            check_chunk_tokens(chunk_tokens, self.layers)
        self._init_freezing()

    def _attentions(self, attention: dict, softmax_layers: Sequence[int]) -> list[dict]:
        """The config of the attention of each layer."""
        wrong = sorted(set(softmax_layers) - set(range(self.num_layers)))
        if wrong:
            raise ValueError(
                f'softmax_layers must be numbers from 0 to {self.num_layers - 1}, got {wrong[0]!r}'
            )
        # The arguments that both have.
        shared = {k: v for k, v in attention.items() if k in ('num_heads', 'qkv_bias', 'proj_drop')}
        softmax = dict(type=ATTENTIONS['softmax'], **shared)
        return [softmax if i in softmax_layers else attention for i in range(self.num_layers)]

    def _build_embedding(
        self, in_channels: int, img_size: tuple[int, int], patch_size: int
    ) -> None:
        """Patches, extra tokens and their position embedding."""
        if patch_size < 1:
            raise ValueError(f'patch_size must be at least 1, got {patch_size}')
        if min(img_size) < patch_size:
            raise ValueError(
                f'img_size={img_size} is smaller than a patch of patch_size={patch_size} pixels'
            )
        self.patch_size = patch_size
        self.patch_embed = PatchEmbed(
            in_channels, self.embed_dims, kernel_size=patch_size, stride=patch_size, padding=0
        )
        self.grid = (-(-img_size[0] // patch_size), -(-img_size[1] // patch_size))
        for name in self.extra_tokens:
            token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
            self.register_parameter(f'{name}_token', token)
        num_positions = len(self.extra_tokens) + self.grid[0] * self.grid[1]
        self.pos_embed = nn.Parameter(torch.zeros(1, num_positions, self.embed_dims))

    def _check_out_type(self, out_type: str) -> str:
        if out_type not in self.out_types:
            raise ValueError(f'out_type must be one of {self.out_types}, got {out_type!r}')
        if out_type in TOKEN_TYPES and not self.extra_tokens:
            raise ValueError(f"out_type={out_type!r} needs extra_tokens such as ('cls',), got ()")
        return out_type

    def init_weights(self) -> None:
        """Initialize as DeiT does, or as ``init_cfg`` says."""
        super().init_weights()
        if not is_pretrained(self.init_cfg):
            for param in (self.pos_embed, *self.extra_params()):
                nn.init.trunc_normal_(param, std=0.02)

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        """Extract features.

        Args:
            x: Images, (B, in_channels, H, W), of at least one patch. They are
                padded with zeros at the right and bottom to whole patches.

        Returns:
            One output for each of ``out_indices``, as ``out_type`` says; maps
            are (B, C, ceil(H / patch_size), ceil(W / patch_size)).

        Raises:
            ValueError: If the images are smaller than one patch.
        """
        require_patch(x, self.patch_size)
        if self.chunk_tokens and not (self.training or is_exporting() or torch.is_grad_enabled()):
            return forward_in_bands(self, x, self.chunk_tokens)
        return self._forward_patches(*self.patch_embed(self.pad(x)))

    def _forward_patches(self, x: Tensor, hw_shape: tuple[int, int]) -> tuple[Any, ...]:
        """Outputs from embedded patches, (B, H * W, C)."""
        extra = [p.expand(len(x), -1, -1) for p in self.extra_params()]
        x = torch.cat((*extra, x), dim=1) if extra else x
        x = self.drop_after_pos(x + self._position_embedding(hw_shape))
        layout = TokenLayout(hw_shape, len(extra))
        outs = []
        for i, layer in enumerate(self.layers):
            x, layout = self._run_layer(layer, x, layout)
            if i == self.num_layers - 1 and self.norm is not None:
                x = self.norm(x)
            if i in self.out_indices:
                outs.append(self.format_output(x, layout))
        return tuple(outs)

    def _run_layer(
        self, layer: nn.Module, x: Tensor, layout: TokenLayout
    ) -> tuple[Tensor, TokenLayout]:
        """Tokens after a layer, and their layout."""
        return self._call_layer(layer, x, layout.hw_shape), layout

    def _call_layer(self, layer: nn.Module, *args: Any) -> Any:
        """``layer(*args)``, recomputed in the backward pass if ``with_cp``."""
        if self.with_cp and self.training:
            return checkpoint(layer, *args, use_reentrant=False)
        return layer(*args)

    def pad(self, x: Tensor) -> Tensor:
        """Pad images at the right and bottom to whole patches."""
        # mmcv's PatchEmbed can pad, but not in a graph of dynamic shape.
        rows, columns = (-size % self.patch_size for size in x.shape[2:])
        if is_exporting() or rows or columns:
            x = F.pad(x, (0, columns, 0, rows))
        return x

    def extra_params(self) -> list[nn.Parameter]:
        """The extra tokens, (1, 1, C) each."""
        return [getattr(self, f'{name}_token') for name in self.extra_tokens]

    def _position_embedding(self, hw_shape: tuple[int, int]) -> Tensor:
        # An exported graph is for every size, so it always resizes; at the
        # embedding's own size that is the identity.
        if not is_exporting() and tuple(hw_shape) == self.grid:
            return self.pos_embed
        return resize_position_embedding(
            self.pos_embed, self.grid, hw_shape, len(self.extra_tokens)
        )

    def format_output(
        self, x: Tensor, layout: TokenLayout, copy: bool = True
    ) -> Tensor | tuple[Tensor, ...]:
        """Turn tokens into an output of the type ``out_type``.

        Args:
            x: Tokens of a layer.
            layout: Their layout.
            copy: Whether maps are contiguous copies; otherwise they are views
                of ``x``, channels last.
        """
        if self.out_type == 'cls_token':
            return x[:, 0]
        if self.out_type == 'tokens':
            tokens = x[:, : layout.num_extra].unbind(1)
            return tokens[0] if layout.num_extra == 1 else tokens
        patches = layout.restore(x)[:, layout.num_extra :]
        if self.out_type == 'avg_featmap':
            return patches.mean(dim=1)
        maps = patches.transpose(1, 2).unflatten(2, layout.hw_shape)
        if not copy:
            return maps
        # Unlike `contiguous`, this copies a map of one token, too.
        return maps.clone(memory_format=torch.contiguous_format)

    def switch_to_deploy(self) -> None:
        """Fold keys and anchors of every layer, in place; exact.

        Attentions without a deploy form are not changed.
        """
        for layer in self.layers:
            if hasattr(layer.attn, 'switch_to_deploy'):
                layer.attn.switch_to_deploy()

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, for layer-wise learning-rate decay.

        Args:
            param_name: Name of the parameter, including ``prefix``.
            prefix: Name of this backbone in the model, such as 'backbone.'.

        Returns:
            Depth of the parameter, and the number of depths. Depth 0 is the
            embedding, i + 1 is layer i, and the last depth is everything
            outside the trunk.
        """
        num_depths = self.num_layers + 2
        if not param_name.startswith(prefix):
            return num_depths - 1, num_depths
        name = param_name[len(prefix) :]
        if name.startswith('layers.'):
            return int(name.split('.')[1]) + 1, num_depths
        is_embedding = name.startswith('patch_embed') or name in (
            'pos_embed',
            'cls_token',
            'dist_token',
        )
        return (0 if is_embedding else num_depths - 1), num_depths

    def _stages(self) -> list[Iterable[nn.Module | nn.Parameter]]:
        embedding = (self.patch_embed, self.pos_embed, *self.extra_params())
        return [embedding, *((layer,) for layer in self.layers)]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Resize the checkpoint's position embedding if needed."""
        name = f'{prefix}pos_embed'
        if name in state_dict:
            num_extra = sum(f'{prefix}{token}_token' in state_dict for token in ('cls', 'dist'))
            state_dict[name] = self._fit_tokens(state_dict[name], self.pos_embed, num_extra)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @torch.no_grad()
    def _fit_tokens(self, loaded: Tensor, own: Tensor, num_extra: int) -> Tensor:
        """Resize per-token weights of a checkpoint to this model's map.

        Args:
            loaded: Weights of the checkpoint, (1, num_extra + h * w, C). h
                and w are inferred, see :func:`~..layers.token_grid.infer_grid`.
            own: Weights of this model, (1, N, C), used for extra tokens that
                the checkpoint does not have.
            num_extra: Number of extra tokens in the checkpoint.
        """
        own_extra = len(self.extra_tokens)
        if loaded.shape == own.shape and num_extra == own_extra:
            return loaded
        source = infer_grid(loaded.shape[1] - num_extra, self.grid)
        if source is None or loaded.shape[2] != own.shape[2]:
            return loaded  # torch reports the sizes, as for any parameter
        fitted = resize_position_embedding(loaded, source, self.grid, num_extra)
        extra, grid = fitted[:, :num_extra], fitted[:, num_extra:]
        own = own[:, :own_extra].to(extra)
        shared = min(num_extra, own_extra)
        return torch.cat((extra[:, :shared], own[:, shared:], grid), dim=1)


def _check_extra_tokens(extra_tokens: Sequence[str]) -> tuple[str, ...]:
    allowed = ((), ('cls',), ('cls', 'dist'))
    if tuple(extra_tokens) not in allowed:
        raise ValueError(f'extra_tokens must be one of {allowed}, got {extra_tokens!r}')
    return tuple(extra_tokens)
