"""The sheet of an image's anchors, for readers who do not know the paper."""

from typing import TYPE_CHECKING

import numpy as np

from ..visualization import distinct_palette, overlay_mask
from .sheets import Cell, Row, draw_sheet, heat_map

if TYPE_CHECKING:
    from .anchors import AnchorExplanation, AnchorLayer

_HOW_TO_READ = (
    'The model gathers all parts of the image into a few groups, its anchors, and lets every part '
    'read from these groups. "Groups": each color is one anchor, and covers the parts that it '
    'gathers most of. Heat maps: the brighter, the more of that part goes to the anchor; dark is '
    'nothing.'
)
_POINT = (
    ' The circle marks a point: "sources" shows which parts of the image flow into the output '
    'at that point.'
)


def draw_anchors(explanation: 'AnchorExplanation') -> np.ndarray:
    """The sheet, (H, W, 3) uint8, RGB: one row for each layer."""
    rows = [
        _layer_row(explanation, layer, number, head)
        for layer, number, head in zip(
            explanation.layers, explanation.numbers, explanation.heads, strict=True
        )
    ]
    subtitle = _HOW_TO_READ + (_POINT if explanation.at is not None else '')
    return draw_sheet('What each anchor looks at', subtitle, rows, _footer(explanation))


def _layer_row(
    explanation: 'AnchorExplanation', layer: 'AnchorLayer', number: int, head: int
) -> Row:
    view, at = explanation.view, explanation.at
    marks = [] if at is None else [view.in_crop(*at)]
    shown = view.crop(view.image)
    share = layer.share[head]
    colors = anchor_colors(share)
    groups = view.crop(overlay_mask(view.image, layer.partition(head), colors, 0.62, -1))
    cells = [
        Cell(shown, 'image', marks=marks),
        Cell(
            groups,
            'groups',
            f'{layer.in_use[head]:.1f} of {share.size} anchors in use',
            marks=marks,
        ),
    ]
    if at is not None:
        cells.append(_sources(layer, head, at, marks))
    strongest = layer.strongest(head, explanation.num_maps)
    for anchor, values in zip(strongest, layer.maps(head, strongest), strict=True):
        top = float(np.nanmax(values))
        cells.append(
            Cell(
                view.crop(heat_map(view.image, values)),
                f'anchor {anchor}: {_percent(share[anchor])} of the image',
                f'the brightest spot gives it {_percent(top)}',
                color=colors[anchor],
            )
        )
    name = f'layer {number}\n(0 to {explanation.num_layers - 1})'
    if layer.num_heads > 1:
        name += f'\n\nhead {head}\n(0 to {layer.num_heads - 1})'
    return Row(name, cells)


def _sources(
    layer: 'AnchorLayer', head: int, at: tuple[float, float], marks: list[tuple[float, float]]
) -> Cell:
    weights, pixels, extra = layer.mix_at(*at, head)
    best = np.argsort(-weights, kind='stable')[:3]
    through = ', '.join(f'{anchor} ({_percent(weights[anchor])})' for anchor in best)
    note = f'through anchors {through}'
    if layer.captured.inputs.num_extra:
        note += f'\n{_percent(extra)} from the class token'
    view = layer.view
    shown = view.crop(heat_map(view.image, pixels))
    return Cell(shown, 'sources of the point', note, marks=marks)


def anchor_colors(share: np.ndarray) -> list[tuple[int, int, int]]:
    """A color for each anchor; the strongest get the most distinct ones."""
    palette = distinct_palette(len(share))
    colors: list[tuple[int, int, int]] = [(0, 0, 0)] * len(share)
    for color, anchor in zip(palette, np.argsort(-share, kind='stable'), strict=True):
        colors[anchor] = tuple(color)  # type: ignore[assignment]
    return colors


def _footer(explanation: 'AnchorExplanation') -> str:
    parts = [
        'Anchors in use: the number of equally strong anchors that would be as varied '
        '(the exponential of the entropy of their shares).'
    ]
    if any(layer.num_heads > 1 for layer in explanation.layers):
        parts.append('Each head has groups of its own; one head is shown.')
    if not explanation.view.seen().all():
        parts.append('Only the part of the image that the model sees is shown.')
    return ' '.join(parts)


def _percent(part: float) -> str:
    if part < 0.0005:
        return 'under 0.1 %'
    return f'{100 * part:.0f} %' if part >= 0.0095 else f'{100 * part:.1f} %'
