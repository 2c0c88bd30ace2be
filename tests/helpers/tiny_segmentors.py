"""Tiny segmentors over AnchorFormer, for tests of bands."""

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope

from mmanchor.registry import MODELS

WIDTHS = (6, 8, 16, 16)
HEADS = dict(
    fpn=dict(type='mmseg.FPNHead', in_channels=[8] * 4, feature_strides=[4, 8, 16, 32], channels=8),
    uper=dict(type='mmseg.UPerHead', in_channels=list(WIDTHS), channels=8),
)


def segmentor(head, align_corners=False, dtype=torch.float64, classes=5, **backbone):
    pyramid = dict(type='mmanchor.SimpleFeaturePyramid', in_channels=16, out_channels=WIDTHS)
    fpn = dict(type='mmseg.FPN', in_channels=list(WIDTHS), out_channels=8, num_outs=4)
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, mlp_ratio=2)
    backbone = dict(img_size=64, num_anchors=5, out_indices=(0, 1, 2, 3), arch=arch, **backbone)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(
            dict(
                type='mmseg.EncoderDecoder',
                data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
                backbone=dict(type='mmanchor.AnchorFormer', **backbone),
                neck=[pyramid, fpn] if head == 'fpn' else pyramid,
                decode_head=dict(
                    in_index=[0, 1, 2, 3],
                    num_classes=classes,
                    norm_cfg=dict(type='BN'),
                    align_corners=align_corners,
                    **HEADS[head],
                ),
                test_cfg=dict(mode='whole'),
            )
        )
    torch.manual_seed(0)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if name.endswith('running_var'):
            torch.nn.init.uniform_(value, 0.5, 2)
        elif value.is_floating_point():
            torch.nn.init.normal_(value, std=0.3)
    return revert_sync_batchnorm(model).to(dtype).eval()


def plain(model, image):
    meta = dict(img_shape=image.shape[2:], ori_shape=image.shape[2:])
    with torch.no_grad():
        return model.encode_decode(image, [meta])
