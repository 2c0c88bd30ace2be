"""The rows of the ablations, as changes of the digits' config."""

from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config

from mmanchor.utils.config import load_config

CONFIG = 'anchorformer-w{width}_1xb32-20e_digits-32'


@dataclass(frozen=True)
class Row:
    """One row of the ablations.

    Args:
        name: Its name for ``--rows``.
        title: Its name in the table.
        table: The table of the paper that has it; '' for none.
        width: Channels: 64 or 128.
        attention: What the row changes of ``LearnedAnchorAttention``.
        num_anchors: M; ``None`` if there are no anchors.
    """

    name: str
    title: str
    table: str = ''
    width: int = 64
    attention: dict[str, Any] = field(default_factory=dict)
    num_anchors: int | None = 30

    def config(self) -> Config:
        """The config of the row."""
        options: dict[str, Any] = {
            f'model.backbone.attention.{key}': value for key, value in self.attention.items()
        }
        if self.num_anchors is not None:
            options['model.backbone.num_anchors'] = self.num_anchors
        return load_config(CONFIG.format(width=self.width), options)


_SOFTMAX = dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)
_TOKEN = dict(type='mmanchor.TokenAnchorAttention')
# The released classifier's assignments of tokens to anchors start nearly even.
_SHARP = dict(anchor_std=4.0)
_LOCAL = dict(depthwise=True)
_LONG = 'learned anchors, M = 30, drawn 4 times as long'

ROWS = {
    row.name: row
    for row in (
        Row('w64-softmax', 'softmax (ViT)', 'Table 4', 64, _SOFTMAX, None),
        Row('w64-token', 'token anchors', 'Table 4', 64, _TOKEN),
        Row('w64-m10', 'learned anchors, M = 10', 'Table 5', num_anchors=10),
        Row('w64-m30', 'learned anchors, M = 30', 'Tables 4, 5'),
        Row('w64-m50', 'learned anchors, M = 50', 'Table 5', num_anchors=50),
        Row('w64-m100', 'learned anchors, M = 100', 'Table 5', num_anchors=100),
        # What the paper does not try.
        Row('w64-sharp', _LONG, attention=_SHARP),
        Row(
            'w64-perhead',
            'learned anchors of each head, M = 30',
            attention=dict(per_head_anchors=True),
        ),
        Row('w64-local', 'learned anchors, M = 30, depth-wise branch', attention=_LOCAL),
        Row('w64-sharp-local', f'{_LONG}, depth-wise branch', attention=_SHARP | _LOCAL),
        Row(
            'w64-softmax-local',
            'softmax, depth-wise branch',
            attention=_SOFTMAX | _LOCAL,
            num_anchors=None,
        ),
        Row('w128-softmax', 'softmax (ViT)', '', 128, _SOFTMAX, None),
        Row('w128-m10', 'learned anchors, M = 10', 'Table 5', 128, num_anchors=10),
        Row('w128-m30', 'learned anchors, M = 30', 'Table 5', 128),
        Row('w128-m50', 'learned anchors, M = 50', 'Table 5', 128, num_anchors=50),
        Row('w128-m100', 'learned anchors, M = 100', 'Table 5', 128, num_anchors=100),
        Row('w128-sharp', _LONG, '', 128, _SHARP),
    )
}
