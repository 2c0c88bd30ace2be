"""ESNet whose last stage is AnchorFormer."""

import re
from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.logging import print_log
from mmengine.model import BaseModule, ModuleList
from mmengine.model.weight_init import update_init_info
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.attention import attention_config
from ..layers.block import TransformerBlock
from .base import is_pretrained, normalize_out_indices
from .esnet import CONV_INIT, RATIOS_S, STAGE_BLOCKS, ESNet


class AnchorStage(BaseModule):
    """A stage of ESNet whose stride-1 blocks are transformer blocks.

    Args:
        down: The block of stride 2.
        embed_dims: Width of its output.
        num_blocks: Number of transformer blocks.
        block: Arguments of each :class:`TransformerBlock`.
        norm_cfg: Config of the normalisation after the last block.
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
        hw_shape = tuple(x.shape[2:])
        x = x.flatten(2).transpose(1, 2)  # (B, N, C)
        for block in self.blocks:
            x = block(x, hw_shape)
        return self.norm(x).transpose(1, 2).unflatten(2, hw_shape)


@MODELS.register_module()
class AnchorESNet(ESNet):
    """ESNet with anchor attention in its last stage.

    The backbone of AnchorFormer's detectors (arXiv 2505.16463, Table 2). The
    paper says no more than that the last stage of ESNet is replaced, so this
    is a reconstruction: the stage keeps its block of stride 2, which also
    tells the tokens where they are, and its stride-1 blocks become
    AnchorFormer's; a normalisation ends the stage, since the neck's
    convolutions expect maps of about unit variance.

    At 416 x 416 pixels the last stage has 169 tokens, where anchors save
    little; ``anchor_stages=(1, 2)`` replaces the stride-16 stage with its
    676 tokens too.

    Like ESNet it has no position embedding and needs no ``img_size``.

    ESNet's weights initialise what is kept (``init_cfg`` of type
    'Pretrained'); the transformer blocks then start as they would without.

    Args:
        scale, ratios, out_indices, frozen_stages, norm_eval, norm_cfg, act_cfg, init_cfg: As
            :class:`ESNet` has them; ``norm_cfg`` is of the convolutions.
        anchor_stages: Stages that are replaced, from 0, increasing, negative
            ones counted from the end.
        attention: As :class:`AnchorFormer` has it.
        num_anchors: M, given to attentions with anchors.
        head_dims: Width of a head; it divides the width of each replaced
            stage.
        mlp_ratio: Width of an MLP's hidden layer over that of its tokens.
        drop_path_rate: Drop-path rate of the transformer blocks, in [0, 1).
        token_norm_cfg: Config of the normalisations of tokens.
        deploy: Build the folded form of the attention; it loads training
            checkpoints too.

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
        token_norm_cfg: dict = dict(type='LN', eps=1e-6),
        deploy: bool = False,
        **kwargs,
    ) -> None:
        self.anchor_stages = normalize_out_indices(
            anchor_stages, len(STAGE_BLOCKS), 'anchor_stages'
        )
        self.head_dims = head_dims
        self.token_norm_cfg = token_norm_cfg
        self.block = dict(mlp_ratio=mlp_ratio, drop_path_rate=drop_path_rate)
        self._attention = (attention, num_anchors, deploy)
        super().__init__(scale, ratios, **kwargs)
        if self.anchor_stages[-1] >= len(self.stages):
            raise ValueError(
                f'anchor_stages={self.anchor_stages} goes beyond the last '
                f'stage of out_indices={self.out_indices}, which is not built'
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
        attention, num_anchors, deploy = self._attention
        attention = attention_config(attention, channels // self.head_dims, num_anchors, deploy)
        down = super()._make_stage(index, in_channels, channels, ratios[:1])[0]
        return AnchorStage(
            down,
            channels,
            len(ratios) - 1,
            dict(attention=attention, **self.block),
            self.token_norm_cfg,
        )

    def init_weights(self) -> None:
        """Initialise by ``init_cfg``; ESNet's weights reach what is kept."""
        if self.is_init or not is_pretrained(self.init_cfg):
            super().init_weights()
            return
        # MMEngine would leave what a checkpoint lacks as torch made it.
        given = self.init_cfg
        cfgs = [given] if isinstance(given, dict) else given
        others = [cfg for cfg in cfgs if cfg['type'] != 'Pretrained']
        self.init_cfg = others or CONV_INIT
        super().init_weights()
        self.init_cfg = given
        for cfg in cfgs:
            if cfg['type'] == 'Pretrained':
                self._load_pretrained(cfg['checkpoint'], cfg.get('prefix', ''))

    def _load_pretrained(self, checkpoint: str, prefix: str) -> None:
        """Load a checkpoint of ours or of ESNet's.

        Args:
            checkpoint: The file.
            prefix: Of this backbone's keys in it, such as 'backbone.'.

        Raises:
            ValueError: If anything is missing but transformer blocks.
        """
        loaded = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
        loaded = self._kept(
            {
                name[len(prefix) :]: param
                for name, param in loaded.get('state_dict', loaded).items()
                if name.startswith(prefix)
            }
        )
        missing = self.load_state_dict(loaded, strict=False).missing_keys
        replaced = re.compile(self._replaced + r'(blocks|norm)\.')
        new = [name for name in missing if replaced.match(name)]
        lost = [name for name in missing if not replaced.match(name)]
        if lost:
            raise ValueError(
                f'init_cfg: {checkpoint} has no {prefix}{lost[0]}, and '
                f'{len(lost)} of {len(self.state_dict())} tensors in all '
                f'are missing under prefix={prefix!r}; it must be of an '
                "ESNet, or of a detector with prefix='backbone.'"
            )
        if hasattr(self, '_params_init_info'):
            update_init_info(self, f'loaded from {checkpoint}')
        stages = sorted({int(name.split('.')[1]) for name in new})
        rest = (
            f'; {len(new)} of the transformer blocks of stages {stages} start anew' if new else ''
        )
        print_log(
            f'AnchorESNet: {len(loaded.keys() & self.state_dict().keys())} '
            f'tensors initialised from {checkpoint}{rest}',
            logger='current',
        )

    def switch_to_deploy(self) -> None:
        """Fold keys and anchors of every block, in place; exact.

        Attentions that have nothing to fold stay as they are.
        """
        for index in self.anchor_stages:
            for block in self.stages[index].blocks:
                if hasattr(block.attn, 'switch_to_deploy'):
                    block.attn.switch_to_deploy()

    @property
    def _replaced(self) -> str:
        """A pattern of the prefixes of replaced stages."""
        return f'stages\\.[{"".join(map(str, self.anchor_stages))}]\\.'

    def _kept(self, state_dict: dict) -> dict:
        """Rename a replaced stage's first ESNet block; drop its others."""
        kept = {}
        for name, param in state_dict.items():
            name = re.sub(f'^({self._replaced})0\\.', r'\1down.', name)
            if not re.match(self._replaced + r'\d', name):
                kept[name] = param
        return kept
