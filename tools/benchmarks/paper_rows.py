"""The rows of the AnchorFormer paper (arXiv 2505.16463), and who builds them.

All numbers here are the paper's claims, copied as printed. What is counted
stands in the results of ``mmanchor benchmark papers``.
"""

from dataclasses import dataclass, field
from typing import Any

Scores = tuple[float | None, ...]


@dataclass(frozen=True)
class PaperRow:
    """One row of a table.

    Args:
        name: The model, as printed.
        params: Parameters in millions, as printed; ``None`` for '-', and for
            a row that the paper does not have.
        flops: GFLOPs as printed; the paper counts multiply-adds.
        scores: As printed, by the table's columns.
        config: The config that builds it; '' if none does.
        options: What is changed in the config, by dotted keys.
        size: Height and width of the image in pixels; ``None`` takes the
            size at which the config's model is usually counted.
        note: How the measured model differs from the row's, or how it was
            put together; without a config, why there is none.
        extra: Whether the row is not the paper's, but added beside it.
    """

    name: str
    params: float | None = None
    flops: float | None = None
    scores: Scores = ()
    config: str = ''
    options: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    note: str = ''
    extra: bool = False


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Args:
        number: Its number.
        title: What it compares.
        scores: Names of the columns of scores.
        rows: Its rows in its order, added ones at the end.
    """

    number: int
    title: str
    scores: tuple[str, ...]
    rows: tuple[PaperRow, ...]


NOWHERE = 'no definition in mmpretrain, mmdet or mmseg'
SEARCHED = 'its architecture comes out of a search; no definition in mmpretrain, mmdet or mmseg'

CASTLING = f'{NOWHERE}; its attention alone is among the rivals of `mmanchor benchmark scaling`'


def _ours(name: str) -> str:
    return f'anchorformer/{name}_8xb128-300e_in1k-224'


def _zoo(name: str) -> str:
    return f'mmpretrain::{name}_in1k.py'


_PVT_V2 = {
    'model.backbone': dict(
        _delete_=True,
        type='mmanchor.TuplePVTv2',
        embed_dims=64,
        num_layers=[3, 4, 6, 3],
        out_indices=(3,),
    ),
    'model.head.in_channels': 512,
}

TABLE_1 = PaperTable(
    1,
    'classification, ImageNet',
    ('top-1', 'top-5'),
    (
        PaperRow(
            'EfficientNet-B0', 5.3, 0.4, (77.05, 91.27), _zoo('efficientnet/efficientnet-b0_8xb32')
        ),
        PaperRow(
            'EfficientNet-B1', 7.8, 0.7, (78.32, 90.72), _zoo('efficientnet/efficientnet-b1_8xb32')
        ),
        PaperRow('LeViT-128', 9.2, 0.4, (78.33, 89.18), _zoo('levit/levit-128_8xb256')),
        PaperRow('LeViT-192', 10.9, 0.7, (80.13, 90.53), _zoo('levit/levit-192_8xb256')),
        PaperRow('CastlingViT-192', 12.7, 0.8, (79.73, 91.27), note=CASTLING),
        PaperRow('AnchorFormer-T', 4.2, 0.7, (81.12, 93.86), _ours('anchorformer-t')),
        PaperRow(
            'Sparsifiner',
            4.2,
            1.3,
            (74.38, 91.97),
            'sparsifiner/sparsifiner-t_8xb128-300e_in1k-224',
            note="ours in DeiT-T's width, by masks, which multiply all pairs; "
            "the paper names no size, and the row's scores are DeiT-T's",
        ),
        PaperRow('Combiner', 6.4, 1.5, (68.37, 76.81), note=NOWHERE),
        PaperRow(
            'Sparsifiner',
            5.3,
            1.8,
            (64.72, 73.74),
            note='the paper has this name twice and tells no size; its text '
            'names ClusterFormer as the third sparse baseline, which has '
            f'{NOWHERE}',
        ),
        PaperRow(
            'EfficientNet-B3', 12.3, 1.8, (81.54, 94.85), _zoo('efficientnet/efficientnet-b3_8xb32')
        ),
        PaperRow(
            'EfficientNet-B4', 19.1, 4.2, (82.83, 96.43), _zoo('efficientnet/efficientnet-b4_8xb32')
        ),
        PaperRow('DeiT-T', 5.6, 1.3, (74.38, 91.97), _zoo('deit/deit-tiny_4xb256')),
        PaperRow('DeiT-S', 21.9, 4.6, (81.58, 95.06), _zoo('deit/deit-small_4xb256')),
        PaperRow('LeViT-256', 18.9, 1.1, (81.53, 94.17), _zoo('levit/levit-256_8xb256')),
        PaperRow('LeViT-384', 39.1, 2.4, (82.17, 95.36), _zoo('levit/levit-384_8xb256')),
        PaperRow('Swin-T', 29.6, 4.5, (80.94, 94.33), _zoo('swin_transformer/swin-tiny_16xb64')),
        PaperRow('CSWin-T', 23.4, 4.3, (82.22, 93.46), note=NOWHERE),
        PaperRow(
            'PVTv2-V2',
            25.5,
            4.2,
            (81.86, 93.65),
            _zoo('swin_transformer/swin-tiny_16xb64'),
            _PVT_V2,
            note="PVTv2-B2: mmdet's backbone in mmpretrain's classifier",
        ),
        PaperRow('MViTv2-T', 24.1, 4.7, (82.21, 94.16), _zoo('mvit/mvitv2-tiny_8xb256')),
        PaperRow('CastlingViT-384', 45.8, 2.9, (83.26, 96.69), note=CASTLING),
        PaperRow('SlideFormer-T', 12.2, 2.6, (77.51, 91.67), note=NOWHERE),
        PaperRow('SlideFormer-S', 22.7, 4.5, (81.75, 92.48), note=NOWHERE),
        PaperRow('BiFormer-T', 13.1, 2.2, (81.32, 93.31), note=NOWHERE),
        PaperRow('BiFormer-S', 26.4, 4.5, (83.89, 93.86), note=NOWHERE),
        PaperRow('AnchorFormer-S', 18.6, 2.7, (84.69, 96.82), _ours('anchorformer-s')),
        PaperRow(
            'EfficientNet-B5', 30.7, 9.9, (83.64, 96.13), _zoo('efficientnet/efficientnet-b5_8xb32')
        ),
        PaperRow('DeiT-B', 86.3, 17.5, (83.21, 96.13), _zoo('deit/deit-base_16xb64')),
        PaperRow('Swin-S', 50.3, 8.7, (83.16, 96.17), _zoo('swin_transformer/swin-small_16xb64')),
        PaperRow('Swin-B', 88.1, 15.4, (83.51, 96.14), _zoo('swin_transformer/swin-base_16xb64')),
        PaperRow('CSWin-S', 35.6, 6.9, (83.57, 95.75), note=NOWHERE),
        PaperRow('CSWin-B', 78.3, 15.2, (84.22, 96.14), note=NOWHERE),
        PaperRow('AutoFormer-S', 22.9, 5.1, (81.72, 95.73), note=SEARCHED),
        PaperRow('AutoFormer-B', 54.8, 11.7, (82.47, 95.64), note=SEARCHED),
        PaperRow('MViTv2-S', 34.7, 6.9, (83.56, 94.71), _zoo('mvit/mvitv2-small_8xb256')),
        PaperRow('MViTv2-B', 51.2, 10.1, (84.37, 95.06), _zoo('mvit/mvitv2-base_8xb256')),
        PaperRow('CastlingViT-S', 34.7, 7.3, (84.63, 95.36), note=CASTLING),
        PaperRow('CastlingViT-B', 87.2, 17.3, (84.82, 95.87), note=CASTLING),
        PaperRow('SlideFormer-B', 89.7, 15.5, (84.42, 96.07), note=NOWHERE),
        PaperRow('BiFormer-B', 58.3, 9.8, (84.13, 95.88), note=NOWHERE),
        PaperRow('AnchorFormer-B', 63.5, 9.2, (86.62, 97.84), _ours('anchorformer-b')),
        PaperRow(
            'Sparsifiner-T, gathered',
            config='sparsifiner/sparsifiner-t_8xb128-300e_in1k-224',
            options={'model.backbone.execution': 'gathered'},
            note='ours, multiplying the kept pairs alone',
            extra=True,
        ),
    ),
)

TABLE_4 = PaperTable(
    4,
    'what the anchors bring, ImageNet',
    ('top-1',),
    (
        PaperRow(
            'ViT', 6.3, 1.5, (72.51,), _ours('deit-t'), note='AnchorFormer-T with softmax attention'
        ),
        PaperRow(
            'Anchor',
            4.7,
            0.9,
            (77.48,),
            _ours('anchorformer-t-token'),
            note='anchors chosen among the tokens',
        ),
        PaperRow(
            'Anchor, Diff.', 4.2, 0.7, (81.12,), _ours('anchorformer-t'), note='learned anchors'
        ),
        PaperRow('DeiT-T', 5.6, 1.3, (74.38,), _zoo('deit/deit-tiny_4xb256')),
    ),
)

TABLE_5 = PaperTable(
    5,
    'numbers of anchors, ImageNet',
    ('top-1',),
    (
        PaperRow('tiny, M = 10', 3.9, 0.6, (77.25,), _ours('anchorformer-t-m10')),
        PaperRow('tiny, M = 30', 4.2, 0.7, (81.12,), _ours('anchorformer-t')),
        PaperRow('tiny, M = 50', 4.3, 0.8, (79.62,), _ours('anchorformer-t-m50')),
        PaperRow('tiny, M = 100', 4.7, 1.0, (75.83,), _ours('anchorformer-t-m100')),
        PaperRow('DeiT-T', 5.6, 1.3, (74.38,), _zoo('deit/deit-tiny_4xb256')),
        PaperRow('small, M = 10', 15.3, 2.4, (81.73,), _ours('anchorformer-s-m10')),
        PaperRow('small, M = 30', 18.6, 2.7, (84.69,), _ours('anchorformer-s')),
        PaperRow('small, M = 50', 19.1, 2.9, (82.16,), _ours('anchorformer-s-m50')),
        PaperRow('small, M = 100', 19.4, 3.2, (80.69,), _ours('anchorformer-s-m100')),
        PaperRow('DeiT-S', 21.9, 4.6, (81.58,), _zoo('deit/deit-small_4xb256')),
    ),
)
