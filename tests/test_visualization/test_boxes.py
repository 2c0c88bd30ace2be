import numpy as np
import pytest

from mmanchor.visualization import draw_boxes

GREY = np.full((100, 140, 3), 100, np.uint8)
LOOK = dict(classes=['dog', 'cat'], palette=[(255, 0, 0), (0, 0, 255)])
RED, BLUE = (255, 0, 0), (0, 0, 255)


def draw(boxes, labels, image=GREY, **kwargs):
    return draw_boxes(image, np.array(boxes), labels, **{**LOOK, **kwargs})


def has(picture, colour):
    return (picture == colour).all(-1)


def test_the_outline_runs_along_the_box():
    out = draw([[20, 30, 60, 80]], [1], opacity=0, font_size=0)
    ys, xs = np.nonzero((out != GREY).any(-1))
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (20, 30, 60, 80)
    assert (out[30, 20:61] == BLUE).all() and (out[30:81, 60] == BLUE).all()
    assert (out[31:80, 21:60] == 100).all()


def test_opacity_blends_the_inside():
    out = draw([[20, 30, 60, 80]], [0], opacity=.5, font_size=0)
    assert out[50, 40] == pytest.approx([177, 50, 50], abs=1)


def test_small_boxes_lie_over_large_ones():
    boxes = [[40, 40, 60, 60], [40, 20, 90, 90]]
    out = draw(boxes, [0, 1], opacity=0, font_size=0)
    assert (out[50, 40] == RED).all() and (out[80, 40] == BLUE).all()


def test_names_hide_no_other_name():
    boxes = [[30, 40, 100, 90], [31, 41, 99, 89]]
    out = draw(boxes, [0, 1], opacity=0, font_size=12)
    alone = [
        has(draw([box], [label], opacity=0, font_size=12), colour).sum()
        for box, label, colour in zip(boxes, (0, 1), (RED, BLUE))
    ]
    # At most the outline of the one is under the chip of the other.
    for colour, expected in zip((RED, BLUE), alone):
        assert has(out, colour).sum() > .8 * expected


def test_scores_are_written():
    boxes = [[20, 30, 60, 80]]
    plain = draw(boxes, [0], font_size=12)
    scored = draw(boxes, [0], scores=[.87], font_size=12)
    other = draw(boxes, [0], scores=[.17], font_size=12)
    assert (plain != scored).any() and (scored != other).any()


@pytest.mark.parametrize(
    'box', [[-50, -50, 20, 20], [120, 80, 300, 300], [-9, -9, 999, 999]])
def test_boxes_that_stick_out_are_cut(box):
    out = draw([box], [0], opacity=.5)
    assert out.shape == GREY.shape and has(out, RED).any()


@pytest.mark.parametrize(
    'box', [[-50, 0, -20, 20], [0, 200, 10, 300], [np.nan, 0, 10, 10]])
def test_boxes_outside_are_left_out(box):
    assert (draw([box], [0]) == GREY).all()


def test_odd_pictures_and_names_are_drawn():
    assert (draw(np.zeros((0, 4)), []) == GREY).all()
    dot = np.zeros((1, 1, 3), np.uint8)
    assert draw([[0, 0, 1, 1]], [0], image=dot).shape == (1, 1, 3)
    name = dict(classes=['非常に長い名前' * 20, ''])
    draw([[0, 0, 50, 50], [9, 9, 40, 40]], [0, 1], **name)
    grey = draw([[0, 0, 9, 9]], [0], image=GREY[..., 0])
    assert grey.shape == GREY.shape


@pytest.mark.parametrize('kwargs, name',
                         [(dict(labels=[0, 1]), 'labels'),
                          (dict(labels=[0], scores=[]), 'scores')])
def test_lists_of_other_lengths_are_an_error(kwargs, name):
    with pytest.raises(ValueError, match=f'{name} must hold one value'):
        draw([[0, 0, 9, 9]], **kwargs)
