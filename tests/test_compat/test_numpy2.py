"""What numpy 2 breaks in mmcv and mmpretrain works, with numpy 1's numbers."""

import mmcv
import numpy as np
import pytest
import torch
from mmdet.evaluation.functional import ytviseval
from mmpretrain.datasets import ColorJitter
from mmpretrain.evaluation import RetrievalAveragePrecision, RetrievalRecall

from mmanchor.compat.toolboxes import numpy2

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_negative_hue_turns_the_other_way(backend):
    # Around the circle: -0.5 * 255 is -127, and 129 / 256 the other way.
    back = mmcv.adjust_hue(IMAGE, -0.5, backend).astype(int)
    on = mmcv.adjust_hue(IMAGE, 0.5, backend).astype(int)
    # The same color but for 2 of 256 steps, of at most 255 / 43 each.
    assert np.abs(back - on).max() <= 13
    assert np.abs(back - IMAGE).max() > 100


def test_hue_wraps_as_an_unsigned_byte():
    factors = [-0.5, -0.1, -0.001, 0.0, 0.1, 0.5]
    steps = [numpy2._WrappingFactor(factor) * 255 for factor in factors]
    assert steps == [256 - 127, 256 - 25, 0, 0, 25, 127]


def test_positive_hue_stays_what_it_is():
    original = mmcv.adjust_hue.__wrapped__
    assert np.array_equal(mmcv.adjust_hue(IMAGE, 0.3), original(IMAGE, 0.3))
    with pytest.raises(ValueError, match='not in'):
        mmcv.adjust_hue(IMAGE, 0.6)


def test_color_jitter_never_fails():
    jitter = ColorJitter(0.4, 0.4, 0.4, 0.5)
    for _ in range(20):
        assert jitter(dict(img=IMAGE))['img'].shape == IMAGE.shape


def test_retrieval_metrics_work():
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.7, 0.3]])
    # The best guesses are 0 and 1; of the second sample 2 is right, ranked second.
    recalls = RetrievalRecall.calculate(scores, [[0], [2]], (1, 2), target_indices=True)
    assert [recall.item() for recall in recalls] == [50, 100]
    precision = RetrievalAveragePrecision.calculate(scores, [[0], [2]], 3, target_indices=True)
    assert float(precision) == pytest.approx(75)


def test_modules_that_name_old_types_have_them():
    assert ytviseval.np.float(1) == 1.0
    assert ytviseval.np.cumsum is np.cumsum


def test_numpy_itself_stays_as_it_is():
    vars_of = RetrievalRecall.calculate.__globals__
    assert vars_of['np'].array is np.array
    assert vars_of['np'] is np or not hasattr(np, 'in1d')
