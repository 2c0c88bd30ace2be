"""ESNet with anchor attention in its last stage."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.logging import print_log
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.attention import attention_config
from ..layers.block import TransformerBlock
from .base import InitCfg, normalize_out_indices
from .esnet import CONV_INIT, RATIOS_S, STAGE_BLOCKS, ESNet


class AnchorStage(BaseModule):
    """A stage of ESNet whose stride-1 blocks are transformer blocks.

    Args:
        down: The block of stride 2.
        embed_dims: Channels of its output.
        num_blocks: Number of transformer blocks.
        block: Arguments of each :class:`TransformerBlock`.
        norm_cfg: Config of the normalization after the last block.
    """

    def __init__(
        self, down: nn.Module, embed_dims: int, num_blocks: int, block: dict, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.down = down
        self.blocks = ModuleList(
            TransformerBlock(embed_dims, norm_cfg=norm_cfg, **block) for _ in range(num_blocks)
        )
        self.norm = build_norm_layer(norm_cfg, embed_dims)[1]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, embed_dims, ceil(H / 2), ceil(W / 2))."""
        x = self.down(x)
        hw_shape = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2)  # (B, N, C)
        for block in self.blocks:
            x = block(x, hw_shape)
        return self.norm(x).transpose(1, 2).unflatten(2, hw_shape)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Load the stride-2 block of an ESNet's stage; drop its other blocks.

        ESNet numbers the blocks of a stage, from the one of stride 2.
        """
        for name in [name for name in state_dict if name.startswith(prefix)]:
            index, _, rest = name[len(prefix) :].partition('.')
            if index.isdigit():
                value = state_dict.pop(name)
                if index == '0':
                    state_dict[f'{prefix}down.{rest}'] = value
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


@MODELS.register_module()
class AnchorESNet(ESNet):
    """ESNet with anchor attention in its last stage.

    The backbone of AnchorFormer's detectors (arXiv 2505.16463, Table 2). The
    paper only says that the last stage of ESNet is replaced, so this is a
    reconstruction: the stage keeps its block of stride 2, whose padding also
    encodes positions, and its stride-1 blocks become transformer blocks with
    anchor attention. A normalization ends the stage, since the convolutions
    of the neck expect maps of about unit variance.

    At 416 x 416 pixels the last stage has only 169 tokens, so that anchors
    save little; ``anchor_stages=(1, 2)`` also replaces the stage of stride 16
    with 676 tokens.

    Like ESNet it has no ``img_size``, since nothing depends on it. A
    checkpoint of an ESNet (``init_cfg`` of type 'Pretrained') initializes
    everything but the transformer blocks.

    Args:
        scale, ratios, out_indices, frozen_stages, norm_eval, norm_cfg, act_cfg, init_cfg: As in
            :class:`ESNet`; ``norm_cfg`` is that of the convolutions.
        anchor_stages: Stages to replace, from 0, increasing; negative ones
            count from the end.
        attention: As in :class:`AnchorFormer`.
        num_anchors: M, number of anchors of attentions that have anchors.
        head_dims: Width of a head; it divides the channels of each replaced
            stage.
        mlp_ratio: Width of an MLP's hidden layer over that of its tokens.
        drop_path_rate: Drop-path rate of the transformer blocks, in [0, 1).
        token_norm_cfg: Config of the normalizations of tokens; ``None`` takes
            LN with epsilon 1e-6.
        deploy: Build the attention fused for deployment; it loads training
            checkpoints, too.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> maps = AnchorESNet(num_anchors=8)(torch.rand(1, 3, 64, 96))
        >>> [tuple(x.shape) for x in maps]
        [(1, 96, 8, 12), (1, 192, 4, 6), (1, 384, 2, 3)]
    """

    def __init__(
        self,
        scale: float = 0.75,
        ratios: Sequence[float] = RATIOS_S,
        *,
        anchor_stages: int | Sequence[int] = (2,),
        attention: str | dict = 'learned',
        num_anchors: int = 30,
        head_dims: int = 64,
        mlp_ratio: float = 2.0,
        drop_path_rate: float = 0.0,
        token_norm_cfg: dict | None = None,
        deploy: bool = False,
        init_cfg: InitCfg = None,
        **kwargs: Any,
    ) -> None:
        self.anchor_stages = normalize_out_indices(
            anchor_stages, len(STAGE_BLOCKS), 'anchor_stages'
        )
        self.head_dims = head_dims
        self.token_norm_cfg = token_norm_cfg or dict(type='LN', eps=1e-6)
        self.block = dict(mlp_ratio=mlp_ratio, drop_path_rate=drop_path_rate)
        self._attention = (attention, num_anchors, deploy)
        super().__init__(scale, ratios, init_cfg=_with_conv_init(init_cfg), **kwargs)
        if self.anchor_stages[-1] >= len(self.stages):
            raise ValueError(
                f'anchor_stages={self.anchor_stages} goes beyond the last '
                f'stage of out_indices={self.out_indices}; later stages are not built'
            )

    def _make_stage(
        self, index: int, in_channels: int, channels: int, ratios: Sequence[float]
    ) -> nn.Module:
        if index not in self.anchor_stages:
            return super()._make_stage(index, in_channels, channels, ratios)
        if self.head_dims < 1 or channels % self.head_dims:
            raise ValueError(
                f'head_dims={self.head_dims} does not divide the width {channels} of stage {index}'
            )
        name, num_anchors, deploy = self._attention
        attention = attention_config(name, channels // self.head_dims, num_anchors, deploy)
        (down,) = super()._make_stage(index, in_channels, channels, ratios[:1]).children()
        return AnchorStage(
            down,
            channels,
            len(ratios) - 1,
            dict(attention=attention, **self.block),
            self.token_norm_cfg,
        )

    def init_weights(self) -> None:
        """Initialize by ``init_cfg``; a checkpoint of an ESNet may be partial.

        Raises:
            ValueError: If a checkpoint lacks anything but transformer blocks.
        """
        handle = self.register_load_state_dict_post_hook(_allow_new_blocks)
        try:
            super().init_weights()
        finally:
            handle.remove()

    def switch_to_deploy(self) -> None:
        """Fold keys and anchors of every block, in place; exact.

        Attentions without a deploy form are not changed.
        """
        for index in self.anchor_stages:
            for block in self.stages[index].blocks:
                if hasattr(block.attn, 'switch_to_deploy'):
                    block.attn.switch_to_deploy()


def _with_conv_init(init_cfg: InitCfg) -> InitCfg:
    """``init_cfg`` that also initializes what a checkpoint does not have."""
    cfgs = [init_cfg] if isinstance(init_cfg, dict) else list(init_cfg or [])
    if not cfgs or any(cfg['type'] != 'Pretrained' for cfg in cfgs):
        return init_cfg
    return [CONV_INIT, *cfgs]  # MMEngine loads checkpoints last


def _allow_new_blocks(model: nn.Module, keys: Any) -> None:
    """Let a checkpoint lack transformer blocks, and nothing else.

    A post hook of ``load_state_dict``; it changes ``keys`` in place.
    """
    new = {
        f'{name}.{param}'
        for name, stage in model.named_modules()
        if isinstance(stage, AnchorStage)
        for param in stage.state_dict()
        if not param.startswith('down.')
    }
    lost = [
        name
        for name in keys.missing_keys
        if name not in new and not name.endswith('num_batches_tracked')
    ]
    if lost:
        raise ValueError(
            f'init_cfg: the checkpoint has no {lost[0]}; {len(lost)} of '
            f'{len(model.state_dict())} tensors are missing. It must be one of an '
            "ESNet, or of a detector with prefix='backbone.'"
        )
    found = sorted({name.split('.')[1] for name in keys.missing_keys if name in new})
    if found:
        print_log(
            'AnchorESNet: the checkpoint has no transformer blocks for stages '
            f'{", ".join(found)}; they keep their initialization',
            logger='current',
        )
    keys.missing_keys.clear()
