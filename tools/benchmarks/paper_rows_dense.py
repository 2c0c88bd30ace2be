"""The rows of the paper's tables of detection and segmentation."""

from typing import Any

from tools.benchmarks.paper_rows import CASTLING, NOWHERE, SEARCHED, PaperRow, PaperTable

_416 = (416, 416)
_YOLOV5 = "OpenMMLab's definition is in MMYOLO, which neither stack has; none in mmdet"
_EFFICIENTDET = (
    "mmdet's definition is among the projects of its repository, which its package leaves out"
)
_SSDLITE = 'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py'

# As with MobileNetV2: the last map of stride 16 and the last one.
_MOBILENET_V3: dict[str, Any] = {
    'model.backbone': dict(
        _delete_=True, type='mmpretrain.MobileNetV3', arch='large', out_indices=(12, 16)
    ),
    'model.neck.in_channels': (112, 960),
    'model.neck.out_channels': (112, 960, 512, 256, 256, 128),
    'model.bbox_head.in_channels': (112, 960, 512, 256, 256, 128),
}

TABLE_2 = PaperTable(
    2,
    'detection, COCO',
    ('AP', 'AP50', 'AP75'),
    (
        PaperRow('YOLOv5-N', 1.9, 4.5, (28.38, 45.21, None), note=_YOLOV5),
        PaperRow('YOLOv5-S', 7.2, 16.5, (35.18, 52.55, None), note=_YOLOV5),
        PaperRow(
            'YOLOX-Nano',
            0.91,
            0.54,
            (25.23, None, None),
            'mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
            size=_416,
        ),
        PaperRow(
            'YOLOX-Tiny',
            5.06,
            3.23,
            (32.37, None, None),
            'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
            size=_416,
        ),
        PaperRow('EfficientDet-512', 3.9, 2.5, (33.81, 52.24, 35.82), note=_EFFICIENTDET),
        PaperRow('EfficientDet-640', 6.6, 6.1, (39.58, 58.59, 42.28), note=_EFFICIENTDET),
        PaperRow('EfficientDet-768', 8.1, 10.8, (43.25, 62.31, 46.18), note=_EFFICIENTDET),
        PaperRow(
            'MobileNetV2',
            4.3,
            1.2,
            (22.13, None, None),
            _SSDLITE,
            note="mmdet's SSDLite at its 320; the paper tells neither head nor size",
        ),
        PaperRow(
            'MobileNetV3',
            3.3,
            1.5,
            (23.48, None, None),
            _SSDLITE,
            _MOBILENET_V3,
            note="mmdet's SSDLite over mmpretrain's MobileNetV3-large, "
            'at 320; the paper tells neither head nor size',
        ),
        PaperRow('FBNetV5-A', None, 1.4, (27.35, None, None), note=SEARCHED),
        PaperRow('FBNetV5-AC', None, 1.4, (28.98, None, None), note=SEARCHED),
        PaperRow('FBNetV5-AR', None, 1.8, (30.52, None, None), note=SEARCHED),
        PaperRow('CastlingViT-S', 3.3, 1.1, (31.34, 46.69, 32.52), note=CASTLING),
        PaperRow('CastlingViT-M', 6.0, 2.0, (34.07, 49.63, 35.83), note=CASTLING),
        PaperRow('CastlingViT-L', 13.1, 5.3, (34.42, 53.59, 39.58), note=CASTLING),
        PaperRow(
            'AnchorFormer-T',
            2.9,
            1.1,
            (41.23, 60.57, 45.46),
            'picodet_anchorformer-t_coco',
            size=_416,
        ),
        PaperRow(
            'AnchorFormer-S',
            5.5,
            1.7,
            (43.61, 62.83, 48.29),
            'picodet_anchorformer-s_coco',
            size=_416,
        ),
        PaperRow(
            'AnchorFormer-B',
            8.6,
            2.8,
            (45.75, 65.35, 51.81),
            'picodet_anchorformer-b_coco',
            size=_416,
        ),
        PaperRow(
            'PicoDet-S',
            config='picodet_esnet-s_4xb80-300e_coco-416',
            note='ours, on the whole ESNet',
            extra=True,
        ),
        PaperRow(
            'PicoDet-M',
            config='picodet_esnet-m_4xb80-300e_coco-416',
            note='ours, on the whole ESNet',
            extra=True,
        ),
        PaperRow(
            'PicoDet-L',
            config='picodet_esnet-l_8xb48-250e_coco-416',
            note='ours, on the whole ESNet',
            extra=True,
        ),
        PaperRow(
            'RTMDet-tiny',
            config='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
            size=_416,
            note="today's rival, at the size of the others",
            extra=True,
        ),
        PaperRow(
            'RTMDet-tiny',
            config='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
            note="today's rival, at its own size",
            extra=True,
        ),
    ),
)

_FPN = 'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py'
_UPERNET = 'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'


def _under_fpn(channels: list[int], **backbone: Any) -> dict[str, Any]:
    """Another backbone for mmseg's ResNet-50 Semantic-FPN."""
    return {'model.backbone': dict(_delete_=True, **backbone), 'model.neck.in_channels': channels}


# The small one, whose parameters and FLOPs are nearest to the paper's.
_PVT = _under_fpn(
    [64, 128, 320, 512], type='mmdet.PyramidVisionTransformer', num_layers=[3, 4, 6, 3]
)
_SWIN = _under_fpn(
    [96, 192, 384, 768],
    type='SwinTransformer',
    embed_dims=96,
    depths=[2, 2, 6, 2],
    num_heads=[3, 6, 12, 24],
    window_size=7,
)


def _rival(name: str, config: str) -> PaperRow:
    return PaperRow(
        name,
        config=f'mmseg::{config}-160k_ade20k-512x512.py',
        note="today's rival, in mmseg's config",
        extra=True,
    )


TABLE_3 = PaperTable(
    3,
    'segmentation, ADE20K',
    ('mIoU', 'mAcc'),
    (
        PaperRow('ResNet50, Semantic-FPN', 28.5, 183.2, (36.75, 43.88), _FPN),
        PaperRow(
            'PVT, Semantic-FPN',
            29.5,
            221.6,
            (42.83, 52.15),
            _FPN,
            _PVT,
            note="mmdet's PVT-Small in mmseg's Semantic-FPN",
        ),
        PaperRow(
            'Swin, Semantic-FPN',
            31.9,
            182.3,
            (41.56, 51.42),
            _FPN,
            _SWIN,
            note="mmseg's Swin-T in its Semantic-FPN",
        ),
        PaperRow('DAT, Semantic-FPN', 32.3, 198.8, (42.63, 54.72), note=NOWHERE),
        PaperRow(
            'AnchorFormer, Semantic-FPN',
            21.6,
            193.7,
            (43.81, 56.57),
            'fpn_anchorformer_ade',
            note='AnchorFormer-S',
        ),
        PaperRow('Swin, UperNet', 57.3, 945.8, (45.28, 54.32), _UPERNET, note='Swin-T'),
        PaperRow('Focal, UperNet', 62.3, 998.1, (45.8, 52.62), note=NOWHERE),
        PaperRow('RMT, UperNet', 56.4, 937.4, (49.8, None), note=NOWHERE),
        PaperRow('GraftViT, UperNet', 66.4, 954.6, (45.5, 53.2), note=NOWHERE),
        PaperRow(
            'AnchorFormer, UperNet',
            49.6,
            928.1,
            (46.28, 56.33),
            'upernet_anchorformer_ade',
            note='AnchorFormer-S',
        ),
        _rival('SegFormer-B0', 'segformer/segformer_mit-b0_8xb2'),
        _rival('SegFormer-B2', 'segformer/segformer_mit-b2_8xb2'),
        _rival('SegNeXt-S', 'segnext/segnext_mscan-s_1xb16-adamw'),
        _rival('SegNeXt-B', 'segnext/segnext_mscan-b_1xb16-adamw'),
    ),
)
