"""The toolboxes' own inference functions with names of ours, one after the other."""

import re

import numpy as np
import pytest
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.registry import DefaultScope
from mmpretrain import ImageClassificationInferencer, get_model, list_models
from mmseg.apis import MMSegInferencer, inference_model, init_model

from mmanchor.compat.toolboxes.inferencers import our_config, our_names
from mmanchor.utils.config import list_configs
from mmanchor.utils.errors import UserError

DETECTOR = 'picodet_anchorformer-demo_1xb8-6e_demo-160'
SEGMENTOR = 'upernet_anchorformer-demo_1xb8-1100_demo-128'
CLASSIFIER = 'anchorformer-w64_1xb32-20e_digits-32'
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)

pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.mark.parametrize('form', ['{}', 'mmanchor::{}', 'mmanchor::demo/{}.py'])
def test_functions_take_our_names(form):
    assert init_detector(form.format(DETECTOR), device='cpu').cfg.default_scope == 'mmdet'
    assert init_model(form.format(SEGMENTOR), device='cpu').cfg.default_scope == 'mmseg'
    form = form.replace('demo', 'digits')
    assert get_model(form.format(CLASSIFIER)).backbone is not None


def test_keywords_count_too():
    assert init_detector(config=DETECTOR, device='cpu').cfg.filename.endswith(f'{DETECTOR}.py')
    assert get_model(model=CLASSIFIER).backbone is not None


def test_inferencers_take_turns():
    """The third ended in a KeyError of the first one's scope."""
    segmentor = MMSegInferencer(SEGMENTOR, device='cpu')
    detector = DetInferencer(DETECTOR, device='cpu', show_progress=False)
    classifier = ImageClassificationInferencer(f'mmanchor::{CLASSIFIER}', device='cpu')
    segmentor.show_progress = False
    for _ in range(2):
        assert segmentor(IMAGE)['predictions'].shape == IMAGE.shape[:2]
        assert len(detector(IMAGE)['predictions']) == 1
        assert classifier(IMAGE)[0]['pred_scores'].shape == (10,)


def test_functions_take_turns():
    detector = init_detector(DETECTOR, device='cpu')
    segmentor = init_model(SEGMENTOR, device='cpu')
    for _ in range(2):
        assert inference_model(segmentor, IMAGE).pred_sem_seg.shape == IMAGE.shape[:2]
        assert 'pred_instances' in inference_detector(detector, IMAGE)
    # As the toolbox leaves it.
    assert DefaultScope.get_current_instance().scope_name == 'mmseg'


def test_our_models_are_listed():
    names = DetInferencer.list_models('mmdet', patterns='picodet_.*s_')
    assert 'picodet_esnet-s_4xb80-300e_coco-320' in names
    assert all(re.match('picodet_.*s_', name) for name in names)
    assert 'upernet_anchorformer_ade' in MMSegInferencer.list_models()
    found = list_models('anchorformer-t*', exclude_patterns=['*distilled'])
    assert 'anchorformer-t_8xb128-300e_in1k-224' in found and found == sorted(found)
    assert not any('distilled' in name for name in found)
    assert not any('anchorformer' in name for name in list_models(task='Image Retrieval'))


def test_every_config_has_its_toolbox():
    names = [name for scope in ('mmdet', 'mmseg', 'mmpretrain') for name in our_names(scope)]
    assert sorted(names) == sorted(name.rsplit('/', 1)[-1] for name in list_configs())


def test_other_names_stay_as_they_are(tmp_path):
    for other in ('rtmdet-s', 'mmdet::rtmdet/rtmdet_s.py', None, 5, str(tmp_path)):
        assert our_config(other) is other
    with pytest.raises(UserError, match=r'no config file .*nothing'):
        our_config('mmanchor::nothing')
