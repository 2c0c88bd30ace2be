"""Maps of tokens lie where the network saw the image, whatever the pipeline does."""

import warnings

import cv2
import numpy as np
import pytest
import torch

import mmanchor
from mmanchor.cli.main import main
from mmanchor.explanation.token_maps import TokenMap
from mmanchor.explanation.views import view_of
from mmanchor.utils.errors import UserError
from mmanchor.utils.inputs import open_input


@pytest.fixture(scope='module', params=['classifier', 'detector', 'segmentor'])
def model(request):
    """A classifier resizes and crops, a detector resizes and pads, a segmentor does neither."""
    configs = dict(
        classifier='anchorformer-t_in1k',
        detector='picodet_anchorformer-demo_1xb8-6e_demo-160',
        segmentor='upernet_anchorformer-demo_1xb8-1100_demo-128',
    )
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return mmanchor.load(configs[request.param], device='cpu')


def view(model, image):
    return view_of(model, next(iter(open_input(image))))


def test_a_spot_of_the_input_comes_back_to_its_place(model):
    image = np.zeros((120, 200, 3), np.uint8)
    image[70:80, 100:110] = 255
    seen = view(model, image)
    bright = seen.inputs[0].mean(dim=0).numpy()
    where = TokenMap(*seen.input_size, (1, 1))
    back = seen.to_image(bright - bright.min(), where)
    assert back.shape == (120, 200)
    rows, columns = np.nonzero(np.nan_to_num(back) > 0.5 * np.nanmax(back))
    assert abs(rows.mean() - 74.5) < 1
    assert abs(columns.mean() - 104.5) < 1
    assert rows.max() - rows.min() < 14


def test_the_token_of_a_pixel_is_the_one_that_covers_it(model):
    seen = view(model, np.zeros((120, 200, 3), np.uint8))
    where = TokenMap.of_map(*(-(-side // 16) for side in seen.input_size), seen.input_size, 1)
    numbers = np.arange(where.height * where.width).reshape(where.height, where.width)
    pixels = seen.to_image(numbers, where, cv2.INTER_NEAREST)
    for x, y in ((100, 60), (60, 30), (130, 90)):
        assert seen.token_at(x, y, where) == pixels[y, x] + 1


def test_a_pixel_outside_is_refused(model):
    seen = view(model, np.zeros((120, 200, 3), np.uint8))
    with pytest.raises(UserError, match='is outside of what the network sees'):
        seen.token_at(200, 60, TokenMap(4, 4, (16, 16)))


def test_the_command_writes_a_sheet_for_each_image(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        cv2.imwrite(f'{name}.png', np.full((64, 64, 3), 90, np.uint8))
    config = 'upernet_anchorformer-demo_1xb8-1100_demo-128'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        network = mmanchor.load(config, device='cpu').module
    torch.save(dict(state_dict=network.state_dict()), 'random.pth')
    words = ['explain', config, 'random.pth', 'a.png', 'b.png', '--at', '10', '20']
    assert main([*words, '--layers', '-1', '--head', '1', '--anchors', '2']) == 0
    assert '2 sheets in explanations' in capsys.readouterr().out
    assert cv2.imread('explanations/a.png').shape[0] > 300
    assert main([*words, '--layers', '6']) == 1
    assert 'the model has 6 layers with anchors' in capsys.readouterr().err
