"""What the toolboxes load a checkpoint with ends in the allow-list too."""

import pytest
import torch
from mmengine.config import Config

from mmanchor.compat import UnsafeCheckpointError

pytestmark = pytest.mark.slow

refused = pytest.raises(UnsafeCheckpointError, match=r'posix.system')

SEGMENTOR = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='ResNet', depth=18, base_channels=2, stem_channels=2, norm_cfg=dict(type='BN')
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=16,
        channels=16,
        num_classes=3,
        num_convs=0,
        concat_input=False,
        norm_cfg=dict(type='BN'),
    ),
    test_cfg=dict(mode='whole'),
)
DETECTOR = dict(
    type='SingleStageDetector',
    backbone=dict(type='ResNet', depth=18, base_channels=2, stem_channels=2),
    bbox_head=dict(
        type='RetinaHead', num_classes=1, in_channels=16, feat_channels=2, stacked_convs=1
    ),
)


def config_of(scope, model):
    return Config(
        dict(
            default_scope=scope,
            model=model,
            test_pipeline=[],
            test_dataloader=dict(dataset=dict(pipeline=[])),
        )
    )


def test_init_model_of_mmseg_is_refused(bad):
    from mmseg.apis import init_model

    with refused:
        init_model(config_of('mmseg', SEGMENTOR), bad, device='cpu')


def test_init_detector_of_mmdet_is_refused(bad):
    from mmdet.apis import init_detector

    with refused:
        init_detector(config_of('mmdet', DETECTOR), bad, device='cpu')


def test_get_model_of_mmpretrain_is_refused(bad):
    from mmpretrain import get_model

    with refused:
        get_model('resnet18_8xb32_in1k', pretrained=bad, device='cpu')


def inferencers():
    from mmdet.apis import DetInferencer
    from mmpretrain import ImageClassificationInferencer
    from mmseg.apis import MMSegInferencer

    return {
        'mmseg': lambda weights: MMSegInferencer(
            config_of('mmseg', SEGMENTOR), weights, device='cpu'
        ),
        'mmdet': lambda weights: DetInferencer(config_of('mmdet', DETECTOR), weights, device='cpu'),
        'mmpretrain': lambda weights: ImageClassificationInferencer(
            'resnet18_8xb32_in1k', pretrained=weights, device='cpu'
        ),
    }


@pytest.mark.parametrize('toolbox', ['mmseg', 'mmdet', 'mmpretrain'])
def test_inferencer_is_refused(toolbox, bad):
    with refused:
        inferencers()[toolbox](bad)


def test_inferencer_does_not_run_the_config_in_a_checkpoint(tmp_path, marker):
    from mmdet.apis import DetInferencer

    path = str(tmp_path / 'bad.pth')
    code = f'import os\nos.system("touch {marker}")\nmodel = dict()'
    torch.save({'state_dict': {}, 'meta': {}, 'message_hub': {'runtime_info': {'cfg': code}}}, path)
    with pytest.raises(UnsafeCheckpointError, match='argument model'):
        DetInferencer(weights=path, device='cpu')
