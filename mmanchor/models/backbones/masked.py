"""AnchorFormer that sees images in part, for training without labels.

Both go into the algorithms of mmpretrain that their names begin with. What
they learn loads into :class:`.AnchorFormer` by
``init_cfg=dict(type='Pretrained', prefix='backbone.', ...)``.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ...registry import MODELS
from .anchorformer import AnchorFormer
from .base import is_pretrained


@MODELS.register_module()
class MAEAnchorFormer(AnchorFormer):
    """Encodes the patches that are left of each image, for mmpretrain's ``MAE``.

    MAE (He et al., arXiv 2111.06377). The position embedding is sines and
    cosines, and not trained. The patches that are left form no map, so that
    attentions with a depth-wise branch cannot be used.

    Args:
        mask_ratio: Share of the patches that is left out, in (0, 1).
        **kwargs: As of :class:`.AnchorFormer`; ``extra_tokens`` is
            ``('cls',)``, as mmpretrain's decoder wants it.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> model = MAEAnchorFormer('tiny', img_size=64)
        >>> tokens, mask, restore = model(torch.rand(1, 3, 64, 64))
        >>> tokens.shape, int(mask.sum())
        (torch.Size([1, 5, 192]), 12)
    """

    def __init__(self, arch: str | dict = 'small', *, mask_ratio: float = 0.75, **kwargs) -> None:
        super().__init__(arch, **{'extra_tokens': ('cls',), **kwargs})
        height, width = self.grid
        if not 0 < mask_ratio < 1 or int(height * width * (1 - mask_ratio)) < 1:
            raise ValueError(
                f'mask_ratio must be in (0, 1) and leave at least one of {height * width} patches, '
                f'got {mask_ratio}'
            )
        if self.extra_tokens != ('cls',):
            raise ValueError(f"extra_tokens must be ('cls',), got {self.extra_tokens}")
        if height != width:
            raise ValueError(f'img_size must be square, got a grid of {height} x {width} patches')
        if self.norm is None:
            raise ValueError('MAE needs the last layer and its norm: leave out_indices at -1')
        if any(getattr(layer.attn, 'depthwise', None) is not None for layer in self.layers):
            raise ValueError(
                'depthwise=True needs a map, and the patches that MAE leaves form none; use SimMIM'
            )
        self.mask_ratio = mask_ratio
        self.pos_embed.requires_grad_(False)

    def init_weights(self) -> None:
        """Initialize as MAE does, or as ``init_cfg`` says."""
        # Needs mmpretrain, as whoever trains by MAE has it.
        from mmpretrain.models.utils import build_2d_sincos_position_embedding

        super().init_weights()
        if is_pretrained(self.init_cfg):
            return
        waves = build_2d_sincos_position_embedding(self.grid[0], self.embed_dims, cls_token=True)
        self.pos_embed.data.copy_(waves)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.flatten(1))

    def forward(self, x: Tensor, mask: bool | None = True) -> tuple[Any, ...]:
        """Encode a random part of each image.

        Args:
            x: Images, (B, in_channels, H, W).
            mask: Whether to leave patches out; otherwise this is
                :meth:`.AnchorFormer.forward`.

        Returns:
            Class token and the T patches that are left, (B, 1 + T, C); the
            mask, (B, H * W), 1 where a patch was left out; and where each
            patch is among those that are left, followed by the others,
            (B, H * W).
        """
        if not mask:
            return super().forward(x)
        patches, hw_shape = self.patch_embed(self.pad(x))
        positions = self._position_embedding(hw_shape)
        patches = patches + positions[:, 1:]
        num_kept = int(patches.shape[1] * (1 - self.mask_ratio))
        order = torch.rand(patches.shape[:2], device=x.device).argsort(dim=1)
        restore = order.argsort(dim=1)
        kept = order[:, :num_kept, None].expand(-1, -1, self.embed_dims)
        token = (self.cls_token + positions[:, :1]).expand(len(x), -1, -1)
        x = self.drop_after_pos(torch.cat((token, patches.gather(1, kept)), dim=1))
        for layer in self.layers:
            x = self._call_layer(layer, x)
        assert self.norm is not None  # checked in the constructor
        return self.norm(x), (restore >= num_kept).to(x.dtype), restore


@MODELS.register_module()
class SimMIMAnchorFormer(AnchorFormer):
    """Sees a learned token in place of masked patches, for mmpretrain's ``SimMIM``.

    SimMIM (Xie et al., arXiv 2111.09886).

    Args:
        *args, **kwargs: As of :class:`.AnchorFormer`.

    Example:
        >>> model = SimMIMAnchorFormer('tiny', img_size=64)
        >>> (maps,) = model(torch.rand(1, 3, 64, 64), torch.ones(1, 4, 4))
        >>> maps.shape
        torch.Size([1, 192, 4, 4])
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))

    def init_weights(self) -> None:
        """Initialize as DeiT does, or as ``init_cfg`` says."""
        super().init_weights()
        if not is_pretrained(self.init_cfg):
            nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Any, ...]:
        """Extract features of images with hidden patches.

        Args:
            x: Images, (B, in_channels, H, W).
            mask: 1 where a patch is hidden, (B, H / patch_size, W / patch_size);
                ``None`` hides none.

        Returns:
            As :meth:`.AnchorFormer.forward`.

        Raises:
            ValueError: If the mask is of another size than the map of patches.
        """
        if mask is None:
            return super().forward(x)
        patches, hw_shape = self.patch_embed(self.pad(x))
        if tuple(mask.shape[1:]) != tuple(hw_shape):
            raise ValueError(
                f'mask must have a value for each of {hw_shape[0]} x {hw_shape[1]} patches, got '
                f'{tuple(mask.shape[1:])}; set model_patch_size={self.patch_size} in '
                'SimMIMMaskGenerator'
            )
        hidden = mask.flatten(1).unsqueeze(-1).to(patches)
        return self._forward_patches(patches * (1 - hidden) + self.mask_token * hidden, hw_shape)
