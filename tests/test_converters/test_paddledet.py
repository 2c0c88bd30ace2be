"""PaddleDetection's names become ours, and the numbers stay the same."""

import numpy as np
import pytest
import torch
from paddle_picodet import PaddlePicoDet

from mmanchor.compat import CheckpointError
from mmanchor.converters import arrays_of_paddle, convert_esnet, convert_picodet
from mmanchor.converters.paddledet import ESNET, PICODET
from mmanchor.models import ESNet
from mmanchor.registry import MODELS


@pytest.fixture(scope='module')
def paddle():
    torch.manual_seed(0)
    return PaddlePicoDet()


def picodet(**head):
    head = dict(feat_channels=16, stacked_convs=2, num_classes=80) | head
    model = dict(
        type='mmanchor.PicoDet',
        backbone=dict(type='mmanchor.ESNet', scale=0.25),
        neck=dict(type='mmanchor.CSPPAN', in_channels=(32, 64, 128), out_channels=16),
        bbox_head=dict(type='mmanchor.PicoDetHead', in_channels=16, **head),
    )
    return MODELS.build(model).eval()


@pytest.mark.parametrize(
    'theirs, ours',
    [
        ('backbone._conv1._conv.weight', 'backbone.stem.conv.weight'),
        ('backbone._conv1._batch_norm._mean', 'backbone.stem.bn.running_mean'),
        ('backbone.2_1._conv_dw_1._conv.weight', 'backbone.stages.0.0.conv_dw_1.conv.weight'),
        (
            'backbone.2_1._conv_linear_1._batch_norm.bias',
            'backbone.stages.0.0.conv_linear_1.bn.bias',
        ),
        ('backbone.3_1._conv_pw_2._conv.weight', 'backbone.stages.1.0.conv_pw_2.conv.weight'),
        ('backbone.3_1._se.conv1.bias', 'backbone.stages.1.0.se.fc1.bias'),
        (
            'backbone.3_1._conv_dw_mv1._batch_norm._variance',
            'backbone.stages.1.0.conv_dw_3.bn.running_var',
        ),
        ('backbone.4_1._conv_pw_mv1._conv.weight', 'backbone.stages.2.0.conv_pw_3.conv.weight'),
        ('backbone.3_7._conv_pw._conv.weight', 'backbone.stages.1.6.conv_pw.conv.weight'),
        (
            'backbone.4_3._conv_linear._batch_norm.weight',
            'backbone.stages.2.2.conv_linear.bn.weight',
        ),
        ('neck.conv_t.convs.2.bn._mean', 'neck.reduce_convs.2.bn.running_mean'),
        (
            'neck.top_down_blocks.0.main_conv.conv.weight',
            'neck.top_down_layers.0.main_conv.conv.weight',
        ),
        ('neck.top_down_blocks.1.blocks.0.conv1.bn.bias', 'neck.top_down_layers.1.block.0.bn.bias'),
        (
            'neck.bottom_up_blocks.1.blocks.0.conv2.dwconv.weight',
            'neck.bottom_up_layers.1.block.1.depthwise_conv.conv.weight',
        ),
        (
            'neck.bottom_up_blocks.0.blocks.0.conv2.bn2._variance',
            'neck.bottom_up_layers.0.block.1.pointwise_conv.bn.running_var',
        ),
        ('neck.downsamples.1.bn1.weight', 'neck.downsamples.1.depthwise_conv.bn.weight'),
        ('neck.first_top_conv.pwconv.weight', 'neck.extra_from_input.pointwise_conv.conv.weight'),
        ('neck.second_top_conv.dwconv.weight', 'neck.extra_from_output.depthwise_conv.conv.weight'),
        (
            'head.conv_feat.cls_conv_dw0.1.conv.weight',
            'bbox_head.towers.0.1.depthwise_conv.conv.weight',
        ),
        (
            'head.conv_feat.cls_conv_pw3.0.norm._mean',
            'bbox_head.towers.3.0.pointwise_conv.bn.running_mean',
        ),
        ('head.head_cls3.bias', 'bbox_head.preds.3.bias'),
    ],
)
def test_names(theirs, ours):
    assert PICODET.rename(theirs) == ours


def test_names_of_the_backbone_alone_need_no_prefix():
    name = '4_2._conv_dw._batch_norm._mean'
    ours = 'stages.2.1.conv_dw.bn.running_mean'
    assert ESNET.rename(name) == ESNET.rename(f'backbone.{name}') == ours


@torch.no_grad()
def test_a_converted_picodet_gives_the_same_numbers(paddle):
    model = picodet()
    arrays = arrays_of_paddle(paddle.saved(), 'a file')
    state, report = convert_picodet(arrays, model.state_dict())
    assert report.is_complete, report.problems()
    assert len(report.converted) == 575 and len(report.skipped) == 6
    model.load_state_dict(state)
    image = torch.rand(2, 3, 64, 96)
    features, levels, logits = paddle(image)
    ours = model.backbone(image)
    torch.testing.assert_close(list(ours), features, rtol=0, atol=1e-5)
    ours = model.neck(ours)
    torch.testing.assert_close(list(ours), levels, rtol=0, atol=1e-5)
    ours = [torch.cat(level, 1) for level in zip(*model.bbox_head(ours), strict=True)]
    torch.testing.assert_close(ours, logits, rtol=0, atol=1e-5)
    # Constants of Paddle's that are not taken from the file.
    assert model.bbox_head.integral.project.tolist() == list(range(8))
    assert all(scale.scale == 1 for scale in model.bbox_head.scales)


@torch.no_grad()
@pytest.mark.parametrize('is_classifier', (True, False))
def test_a_converted_esnet_gives_the_same_numbers(paddle, is_classifier):
    saved = paddle.classifier() if is_classifier else paddle.saved()
    model = ESNet(0.25).eval()
    state, report = convert_esnet(arrays_of_paddle(saved, 'a file'), model.state_dict())
    assert report.is_complete, report.problems()
    model.load_state_dict(state)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(list(model(image)), paddle(image)[0], rtol=0, atol=1e-5)
    reason = 'of a classifier' if is_classifier else 'not of the backbone'
    assert reason in report.skipped.values()


def test_constants_may_be_absent(paddle):
    target = picodet().state_dict()
    state, report = convert_picodet(
        {
            name: array
            for name, array in paddle.arrays.items()
            if 'scale_reg' not in name and 'project' not in name
        },
        target,
    )
    assert report.is_complete and not report.skipped
    assert list(state) == list(target)


def test_leftovers_gaps_and_other_shapes_are_named(paddle):
    arrays = dict(paddle.arrays)
    del arrays['neck.conv_t.convs.0.conv.weight']
    arrays['backbone.2_4._conv_pw._conv.weight'] = np.zeros(1, np.float32)
    arrays['head.head_reg0.bias'] = np.zeros(32, np.float32)
    _, report = convert_picodet(arrays, picodet(num_classes=3).state_dict())
    assert report.missing == ['neck.reduce_convs.0.conv.weight']
    assert report.unmatched == ['backbone.2_4._conv_pw._conv.weight', 'head.head_reg0.bias']
    assert set(report.mismatched) == {
        f'head.head_cls{level}.{part}' for level in range(4) for part in ('weight', 'bias')
    }
    assert (
        (report.mismatched['head.head_cls0.weight'])
        == '(112, 16, 1, 1) in the file, (35, 16, 1, 1) in the model'
    )


def test_pairs_and_slices_become_arrays():
    whole = np.arange(6, dtype='f4').reshape(2, 3)
    flat = whole.ravel()
    loaded = {
        'pair': ('conv_0.w_0', whole),
        'big@@.1': flat[4:],
        'big@@.0': flat[:4],
        'rest': 7,
        'UnpackBigParamInfor@@': {'big': {'OriginShape': (2, 3), 'slices': ['big@@.0', 'big@@.1']}},
    }
    arrays = arrays_of_paddle(loaded, 'a file')
    assert set(arrays) == {'pair', 'big', 'rest'}
    np.testing.assert_array_equal(arrays['pair'], whole)
    np.testing.assert_array_equal(arrays['big'], whole)


@pytest.mark.parametrize(
    'loaded, message',
    [
        ([1], 'holds list'),
        ({}, 'holds no arrays'),
        (dict(a=1), 'holds no arrays'),
        ({'UnpackBigParamInfor@@': 3}, 'slices of an array'),
        (
            {'UnpackBigParamInfor@@': dict(a=dict(slices=['b'], OriginShape=(1,)))},
            'slices of an array',
        ),
        (
            {
                'b': np.ones(2),
                'UnpackBigParamInfor@@': dict(a=dict(slices=['b'], OriginShape=(3,))),
            },
            'slices of an array',
        ),
    ],
)
def test_other_contents_are_named(loaded, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        arrays_of_paddle(loaded, 'weights.pdparams')
    assert 'weights.pdparams' in str(caught.value)
