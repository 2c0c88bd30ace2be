"""Heat maps of a chosen box, class and region, and of models side by side."""

import warnings

import numpy as np
import pytest
import torch

import mmanchor
from mmanchor.explanation import compare_models
from mmanchor.utils.errors import UserError

pytest.importorskip('pytorch_grad_cam')
CONFIGS = {
    'detector': 'picodet_anchorformer-demo_1xb8-6e_demo-160',
    'segmentor': 'upernet_anchorformer-demo_1xb8-1100_demo-128',
    'levit': 'levit/anchor-levit-128s_8xb256-1000e_in1k-224',
    'deit': 'deit-t_8xb128-300e_in1k-224',
}


@pytest.fixture(scope='module')
def load():
    """A model with random weights, in its head too; made once."""
    made = {}

    def load(name):
        if name not in made:
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                made[name] = mmanchor.load(CONFIGS[name], device='cpu')
            for part in getattr(made[name].module, 'head', torch.nn.Identity()).modules():
                if isinstance(part, torch.nn.Linear):
                    torch.nn.init.normal_(part.weight)
        return made[name]

    return load


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize('name', ['levit', 'deit'])
def test_classifiers(load, image, name):
    found = mmanchor.explain(load(name), image, method='gradcam', class_name=7)
    assert np.nanmax(found.heat) in (0, pytest.approx(1))
    assert found.text.startswith(load(name).classes[7].split(',')[0])


def test_a_box_is_chosen_by_rank_and_class(load, image):
    best, second = (
        mmanchor.explain(load('detector'), image, method='hirescam', box=rank) for rank in (0, 1)
    )
    assert best.box != second.box
    assert best.heat.shape == second.heat.shape == (96, 128)
    label = best.text.rpartition(' (')[0]
    same = mmanchor.explain(load('detector'), image, method='hirescam', class_name=label)
    assert same.box == best.box


def test_the_heat_of_a_region_is_near_it(load, image):
    options = dict(method='hirescam', class_name=3)
    left = mmanchor.explain(load('segmentor'), image, region=(0, 0, 16, 96), **options)
    right = mmanchor.explain(load('segmentor'), image, region=(112, 0, 128, 96), **options)
    assert left.box == (0, 0, 16, 96)
    assert left.text.endswith('of the region)')
    assert np.abs(left.heat - right.heat).max() > 0.1


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('detector', dict(box=1000), r'--box 1000 is not there: the model finds \d+ boxes'),
        ('detector', dict(region=(0, 0, 5, 5)), '--region is for segmentors'),
        ('segmentor', dict(box=0), '--box is for detectors'),
        ('segmentor', dict(region=(5, 0, 5, 9)), 'left < right'),
        ('segmentor', dict(region=(500, 0, 600, 9)), 'outside of the image'),
        ('segmentor', dict(class_name=10), 'classes are 0 to 9'),
    ],
)
def test_mistakes_are_named(load, image, name, options, message):
    with pytest.raises(UserError, match=message):
        mmanchor.explain(load(name), image, method='hirescam', **options)


def test_models_side_by_side(load, image):
    models = {name: load(name) for name in ('levit', 'deit')}
    sheet = compare_models(models, [image, image[:, ::-1]], class_name=7)
    assert sheet.ndim == 3
    assert sheet.shape[0] > sheet.shape[1]  # three rows of two images
    with pytest.raises(UserError, match='compared by Grad-CAM'):
        compare_models(dict(levit=load('levit')), image, method='anchors')
