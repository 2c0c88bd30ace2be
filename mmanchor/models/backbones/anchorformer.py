"""AnchorFormer: a DeiT whose attention goes through anchors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import ModuleList
from mmengine.utils import to_2tuple
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...registry import MODELS
from ..layers.attention import attention_config
from ..layers.block import TransformerBlock
from ..layers.chunks import check_chunks, run_block_in_chunks, split_rows, token_span
from ..layers.token_grid import PositionRows, infer_grid, resize_position_embedding
from .base import (
    BaseBackbone,
    is_exporting,
    is_pretrained,
    lookup_arch,
    normalize_out_indices,
    require_patch,
)


@MODELS.register_module()
class AnchorFormer(BaseBackbone):
    """Vision transformer of DeiT's layout with anchor attention.

    AnchorFormer (arXiv 2505.16463) on DeiT (arXiv 2012.12877): one plain
    trunk for classification, detection and segmentation. Beyond the paper: it
    takes any image size, has a deploy form, and every attention of
    :mod:`mmanchor.models.layers` can take the place of learned anchors.

    Args:
        arch: 'tiny', 'small' or 'base' (DeiT's sizes), or a dict with the keys
            ``embed_dims``, ``num_layers``, ``num_heads`` and ``mlp_ratio``.
        img_size: Image size in pixels, (H, W) or one side, that the position
            embedding is made for; any other size resizes it.
        patch_size: Side of a patch in pixels; the maps have this stride.
        in_channels: Channels of the image.
        num_anchors: M, given to attentions with anchors.
        attention: 'learned' (Fig. 3b), 'token' (Fig. 3a), 'softmax', or the
            config of an attention, whose values win over this class's.
        extra_tokens: Names of the extra tokens, ('cls', ) or
            ('cls', 'dist'); they stand before the patches. Without any, as
            dense tasks want it, attention is among patches alone.
        out_indices: Layers whose outputs are returned, negative ones counted
            from the end. Layers after the last of them are not built.
        out_type: 'featmap' gives maps (B, C, H, W); 'avg_featmap' their means
            (B, C); 'cls_token' the class token (B, C), as mmpretrain's ViT
            has it; 'tokens' the extra tokens, (B, C) for one and a tuple of
            them for two, as mmpretrain's heads for DeiT take them. The last
            two need ``extra_tokens``.
        final_norm: Whether the last layer's output is normalised.
        drop_rate: Dropout rate after the embedding and in MLPs, in [0, 1].
        drop_path_rate: Drop-path rate of the last layer, in [0, 1); it grows
            linearly from 0 at the first.
        norm_cfg: Config of the normalisations.
        frozen_stages: 0 freezes the embedding, i > 0 the first i layers too,
            -1 nothing.
        with_cp: Whether to save memory in training by recomputing each layer
            in the backward pass.
        chunk_tokens: Go through the tokens in bands of whole rows, of about
            this many tokens each, where nothing is trained: for images whose
            plain forward does not fit in memory. Exact, as the attention
            stays global; learned anchors only. Maps are then channels last.
            ``None`` takes all at once.
        deploy: Build the folded form of the attention (see
            :meth:`switch_to_deploy`); it loads training checkpoints too.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> model = AnchorFormer('tiny', img_size=64, out_indices=(5, 11))
        >>> [tuple(x.shape) for x in model(torch.rand(1, 3, 64, 96))]
        [(1, 192, 4, 6), (1, 192, 4, 6)]
    """

    arch_settings = {
        'tiny': dict(embed_dims=192, num_layers=12, num_heads=3, mlp_ratio=4),
        'small': dict(embed_dims=384, num_layers=12, num_heads=6, mlp_ratio=4),
        'base': dict(embed_dims=768, num_layers=12, num_heads=12, mlp_ratio=4),
    }
    out_types = ('featmap', 'avg_featmap', 'cls_token', 'tokens')
    # A subclass may have its own kind of layer.
    block_type = TransformerBlock

    def __init__(
        self,
        arch: str | dict = 'small',
        *,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        num_anchors: int = 30,
        attention: str | dict = 'learned',
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
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(frozen_stages, init_cfg=init_cfg)
        settings = lookup_arch(arch, self.arch_settings)
        self.embed_dims = settings['embed_dims']
        self.num_layers = settings['num_layers']
        self.out_indices = normalize_out_indices(out_indices, self.num_layers)
        self.extra_tokens = _check_extra_tokens(extra_tokens)
        self.out_type = self._check_out_type(out_type)
        self.with_cp = with_cp
        self._build_embedding(in_channels, to_2tuple(img_size), patch_size)
        self.drop_after_pos = nn.Dropout(drop_rate)
        block = dict(
            attention=attention_config(attention, settings['num_heads'], num_anchors, deploy),
            mlp_ratio=settings['mlp_ratio'],
            drop_rate=drop_rate,
            norm_cfg=norm_cfg,
        )
        last = self.num_layers - 1
        self.layers = ModuleList(
            self.block_type(
                self.embed_dims, drop_path_rate=drop_path_rate * i / max(last, 1), **block
            )
            for i in range(self.out_indices[-1] + 1)
        )
        self.norm = None
        if final_norm and self.out_indices[-1] == last:
            self.norm = build_norm_layer(norm_cfg or dict(type='LN', eps=1e-6), self.embed_dims)[1]
        self.chunk_tokens = chunk_tokens
        if chunk_tokens is not None:
            check_chunks(chunk_tokens, self.layers)
        self._init_freezing()

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
        self.grid = tuple(-(-side // patch_size) for side in img_size)
        for name in self.extra_tokens:
            token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
            self.register_parameter(f'{name}_token', token)
        num_positions = len(self.extra_tokens) + self.grid[0] * self.grid[1]
        self.pos_embed = nn.Parameter(torch.zeros(1, num_positions, self.embed_dims))

    def _check_out_type(self, out_type: str) -> str:
        if out_type not in self.out_types:
            raise ValueError(f'out_type must be one of {self.out_types}, got {out_type!r}')
        if not self._gives_maps(out_type) and not self.extra_tokens:
            raise ValueError(f"out_type={out_type!r} needs extra_tokens such as ('cls',), got ()")
        return out_type

    @staticmethod
    def _gives_maps(out_type: str) -> bool:
        """Whether outputs are made of patches, not of extra tokens."""
        return out_type not in ('cls_token', 'tokens')

    def init_weights(self) -> None:
        """Initialise as DeiT does, or as ``init_cfg`` says."""
        super().init_weights()
        if not is_pretrained(self.init_cfg):
            for param in (self.pos_embed, *self._extra_params()):
                nn.init.trunc_normal_(param, std=0.02)

    def forward(self, x: Tensor) -> tuple:
        """Map images to features.

        Args:
            x: Images, (B, in_channels, H, W), of any size from one patch
                on: what is missing to whole patches is padded with zeros at
                the right and the bottom.

        Returns:
            For each of ``out_indices`` what ``out_type`` says; maps are
            (B, C, ceil(H / patch_size), ceil(W / patch_size)).
        """
        require_patch(x, self.patch_size)
        if self.chunk_tokens and not (self.training or is_exporting() or torch.is_grad_enabled()):
            return self._forward_in_chunks(x)
        x, hw_shape = self.patch_embed(self._pad(x))  # (B, H * W, C)
        extra = [p.expand(len(x), -1, -1) for p in self._extra_params()]
        x = torch.cat((*extra, x), dim=1) if extra else x
        x = self.drop_after_pos(x + self._position_embedding(hw_shape))
        outs = []
        for i, layer in enumerate(self.layers):
            x, hw_shape = self._run_layer(layer, x, hw_shape)
            if i == self.num_layers - 1 and self.norm is not None:
                x = self.norm(x)
            if i in self.out_indices:
                outs.append(self._format_output(x, hw_shape))
        return tuple(outs)

    def _forward_in_chunks(self, images: Tensor) -> tuple:
        """As :meth:`forward`, in bands of rows that change tokens in place."""
        hw_shape = tuple(-(-side // self.patch_size) for side in images.shape[2:])
        bands = split_rows(hw_shape, self.chunk_tokens)
        x = self._embed_in_chunks(images, hw_shape, bands)
        spans = [token_span(rows, hw_shape[1], len(self.extra_tokens)) for rows in bands]
        outs = []
        for i, layer in enumerate(self.layers):
            run_block_in_chunks(layer, x, hw_shape, bands)
            if i == self.num_layers - 1 and self.norm is not None:
                for span in spans:
                    x[:, span] = self.norm(x[:, span])
            if i in self.out_indices:
                # Later layers change x. The last output may be x itself:
                # another map is what an image of this size has no room for.
                is_last = i == self.out_indices[-1]
                own = x if is_last else x.clone()
                outs.append(self._format_output(own, hw_shape, copy=False))
        return tuple(outs)

    def _embed_in_chunks(
        self, images: Tensor, hw_shape: tuple[int, int], bands: list[tuple[int, int]]
    ) -> Tensor:
        """Tokens with their positions, (B, N, C)."""
        num_extra, width = len(self.extra_tokens), hw_shape[1]
        positions = PositionRows(self.pos_embed, self.grid, hw_shape, num_extra)
        x = self.pos_embed.new_empty(len(images), num_extra + hw_shape[0] * width, self.embed_dims)
        for j, param in enumerate(self._extra_params()):
            x[:, j] = param[0] + self.pos_embed[:, j]
        for first, last in bands:
            strip = images[:, :, first * self.patch_size : last * self.patch_size]
            tokens = self.patch_embed(self._pad(strip))[0]
            span = slice(num_extra + first * width, num_extra + last * width)
            x[:, span] = tokens + positions(first, last)
        return x

    def _run_layer(self, layer: nn.Module, x: Tensor, hw_shape: tuple[int, int]) -> tuple:
        """The layer's output, and what the next one is given beside it."""
        if self.with_cp and self.training:
            return checkpoint(layer, x, hw_shape, use_reentrant=False), hw_shape
        return layer(x, hw_shape), hw_shape

    def _pad(self, x: Tensor) -> Tensor:
        """Pad images at the right and the bottom to whole patches."""
        # mmcv's PatchEmbed can pad, but not in a graph of dynamic shape.
        rows, columns = (-size % self.patch_size for size in x.shape[2:])
        if is_exporting() or rows or columns:
            x = F.pad(x, (0, columns, 0, rows))
        return x

    def _extra_params(self) -> list[nn.Parameter]:
        return [getattr(self, f'{name}_token') for name in self.extra_tokens]

    def _position_embedding(self, hw_shape: tuple[int, int]) -> Tensor:
        # An exported graph serves every size, so it always resizes; at the
        # embedding's own size that is the identity.
        if not is_exporting() and tuple(hw_shape) == self.grid:
            return self.pos_embed
        return resize_position_embedding(
            self.pos_embed, self.grid, hw_shape, len(self.extra_tokens)
        )

    def _format_output(self, x: Tensor, hw_shape: tuple[int, int], copy: bool = True):
        num_extra = len(self.extra_tokens)
        if self.out_type == 'cls_token':
            return x[:, 0]
        if self.out_type == 'tokens':
            tokens = x[:, :num_extra].unbind(1)
            return tokens[0] if num_extra == 1 else tokens
        patches = x[:, num_extra:]
        if self.out_type == 'avg_featmap':
            return patches.mean(dim=1)
        maps = patches.transpose(1, 2).unflatten(2, hw_shape)
        if not copy:
            return maps  # channels last
        # Unlike `contiguous`, a copy also where a map is one token.
        return maps.clone(memory_format=torch.contiguous_format)

    def switch_to_deploy(self) -> None:
        """Fold keys and anchors of every layer, in place; exact.

        Attentions that have nothing to fold stay as they are.
        """
        for layer in self.layers:
            if hasattr(layer.attn, 'switch_to_deploy'):
                layer.attn.switch_to_deploy()

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, for layer-wise learning-rate decay.

        Args:
            param_name: Its name, ``prefix`` included.
            prefix: Name of this backbone in the model, such as 'backbone.'.

        Returns:
            Its depth, and the number of depths: 0 is the embedding, i + 1
            layer i, and the last depth is everything outside the trunk.
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

    def _stages(self) -> list:
        embedding = (self.patch_embed, self.pos_embed, *self._extra_params())
        return [embedding, *((layer,) for layer in self.layers)]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Fit the checkpoint's position embedding to this model first."""
        name = f'{prefix}pos_embed'
        if name in state_dict:
            num_extra = sum(f'{prefix}{token}_token' in state_dict for token in ('cls', 'dist'))
            state_dict[name] = self._fit_tokens(state_dict[name], self.pos_embed, num_extra)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @torch.no_grad()
    def _fit_tokens(self, loaded: Tensor, own: Tensor, num_extra: int) -> Tensor:
        """A checkpoint's weights of the tokens at this model's size.

        Args:
            loaded: (1, num_extra + h * w, C). h and w are taken to have the
                ratio of this model's map if such integers exist, else to be
                equal.
            own: This model's, (1, N, C). It keeps those of extra tokens that
                the checkpoint lacks.
            num_extra: The checkpoint's number of extra tokens.
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
