"""Heat maps show what speaks for a prediction, and say where nothing does."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import mmanchor
from mmanchor.explanation.cam_targets import target_of
from mmanchor.explanation.cams import explain_by_cam
from mmanchor.explanation.views import view_of
from mmanchor.utils.errors import UserError
from mmanchor.utils.inputs import open_input

pytest.importorskip('pytorch_grad_cam')


@pytest.fixture(scope='module')
def model():
    """A classifier with random weights, in its head too."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = mmanchor.load('anchorformer-t_in1k', device='cpu')
    for module in model.module.head.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight)
    return model


@pytest.fixture
def view(model):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return view_of(model, next(iter(open_input(image))))


def test_a_map_has_the_size_of_the_image_and_ends_at_one(model, view):
    found = explain_by_cam(model, view, target_of(model, view, 3), 'hirescam')
    assert found.heat.shape == (64, 64)
    assert np.nanmin(found.heat) >= 0
    assert np.nanmax(found.heat) == pytest.approx(1)


def test_nothing_that_speaks_for_it_is_a_dark_map_that_says_so(model, view, monkeypatch):
    monkeypatch.setattr('mmanchor.explanation.cams._heat', lambda *_: np.zeros((8, 8), np.float32))
    found = explain_by_cam(model, view, target_of(model, view, 3), 'hirescam')
    assert not np.nan_to_num(found.heat).any()
    assert found.text.endswith('nothing speaks for it')


def test_a_layer_without_influence_is_refused(model, view):
    target = target_of(model, view, 3)
    unmoved = replace(target, score=lambda output: target.score(output) * 0)
    with pytest.raises(UserError, match='has no influence on the score'):
        explain_by_cam(model, view, unmoved, 'hirescam')


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(method='nothing'), 'nothing'),
        (dict(method='gradcam', target_layer='backbone.none'), 'is no layer of the model'),
        (dict(method='gradcam', class_name='eleven'), 'eleven'),
        (dict(method='gradcam', head=0), '--head has no effect with --method gradcam'),
        (dict(method='anchors', class_name=3), '--class has no effect with --method anchors'),
    ],
)
def test_mistakes_are_named(model, options, message):
    with pytest.raises(UserError, match=message):
        mmanchor.explain(model, np.zeros((64, 64, 3), np.uint8), **options)


@pytest.mark.parametrize('method', ['anchors', 'gradcam', 'eigencam'])
def test_sheets_are_written(model, method, tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = mmanchor.explain(model, image, method=method).save(tmp_path / 'sheet.png')
    assert path.stat().st_size > 1000
