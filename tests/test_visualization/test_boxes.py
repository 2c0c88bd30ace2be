import numpy as np
import pytest

from mmanchor.visualization import draw_boxes, write_caption
from mmanchor.visualization.labels import write_labels

GRAY = np.full((100, 140, 3), 100, np.uint8)
LOOK = dict(classes=['dog', 'cat'], palette=[(255, 0, 0), (0, 0, 255)])
RED, BLUE = (255, 0, 0), (0, 0, 255)


def draw(boxes, labels, image=GRAY, **kwargs):
    return draw_boxes(image, np.array(boxes), labels, **{**LOOK, **kwargs})


def outlines(boxes, labels, image=GRAY, **kwargs):
    return draw(boxes, labels, image, opacity=0, font_size=0, **kwargs)


def has(image, color):
    """Where a image nearly has a color."""
    return (np.abs(image - np.float32(color)) < 70).all(-1)


def test_the_outline_runs_along_the_box():
    out = outlines([[20, 30, 60, 80]], [1])
    for y, x in ((30, 40), (80, 40), (55, 20), (55, 60)):
        around = out[y - 1 : y + 1, x - 1 : x + 1].reshape(-1, 3)
        assert has(around, BLUE).any()
    near = np.full(GRAY.shape[:2], True)
    near[34:76, 24:56] = False
    near[:26] = near[84:] = near[:, :16] = near[:, 64:] = False
    assert (out[~near] == 100).all()


def test_half_a_pixel_is_seen():
    first, second = (outlines([[20 + x, 30, 60, 80]], [1]) for x in (0, 0.5))
    assert (first[40:70, 17:24] != second[40:70, 17:24]).any()
    assert (first[40:70, 57:64] == second[40:70, 57:64]).all()


def test_opacity_blends_the_inside():
    out = draw([[20, 30, 60, 80]], [0], opacity=0.5, font_size=0)
    assert out[50, 40].tolist() == pytest.approx([177, 50, 50], abs=1)
    with pytest.raises(ValueError, match=r'opacity must be .* got 2'):
        draw([[20, 30, 60, 80]], [0], opacity=2)


def test_dashes_leave_gaps_but_no_corner():
    solid = has(outlines([[20, 20, 80, 80]], [0]), RED)
    dashed = has(outlines([[20, 20, 80, 80]], [0], dashed=True), RED)
    assert 0.3 < dashed.sum() / solid.sum() < 0.8
    assert not (dashed & ~solid).any()
    for y, x in ((20, 20), (20, 79), (79, 20), (79, 79)):
        assert dashed[y - 2 : y + 3, x - 2 : x + 3].any()


def test_small_boxes_lie_over_large_ones():
    boxes = [[40, 40, 60, 60], [40, 20, 90, 90]]
    out = outlines(boxes, [0, 1])
    assert has(out[50, 39:41], RED).any() and has(out[80, 39:41], BLUE).any()


def test_names_hide_no_other_name():
    # Six boxes in one place, and none of their names is lost.
    canvas, boxes = np.zeros((100, 300, 3), np.uint8), np.array([[100, 40, 200, 70]] * 6)
    texts, colors = [('dog', '9%')] * 6, [RED] * 6
    alone = write_labels(canvas, boxes[:1], texts, colors, 12)
    together = write_labels(canvas, boxes, texts, colors, 12)
    areas = [image.any(-1).sum() for image in (alone, together)]
    assert areas[1] == 6 * areas[0] > 0


def test_names_hide_no_small_box():
    # Above its box the name of the first would hide the second.
    boxes = [[30, 50, 100, 90], [32, 36, 44, 48]]
    out = draw(boxes, [0, 1], opacity=0, font_size=12)
    for x in (32, 44):
        assert has(out[38:46, x - 1 : x + 1], BLUE).any(1).all()


def test_scores_are_written_as_percent():
    boxes = [[20, 30, 60, 80]]
    scored = draw(boxes, [0], scores=[0.874], font_size=12)
    named = draw(boxes, [0], font_size=12, classes=['dog 87%', ''])
    assert (scored == named).all()


@pytest.mark.parametrize('color, ink', [((255, 255, 0), 0), ((0, 0, 90), 255)])
def test_names_can_be_read_on_any_color(color, ink):
    out = draw([[20, 40, 120, 90]], [0], font_size=20, palette=[color])
    assert (out[17:40, 20:80] == ink).all(-1).sum() > 20


@pytest.mark.parametrize('box', [[-50, -50, 20, 20], [120, 80, 300, 300], [-9, -9, 999, 999]])
def test_boxes_that_stick_out_are_cut(box):
    out = outlines([box], [0])
    assert out.shape == GRAY.shape and has(out, RED).any()


def test_the_border_does_not_hide_the_line_along_it():
    out = has(outlines([[-50, -50, 999, 999]], [0]), RED)
    assert out[50, :2].any() and out[50, -2:].any()
    assert out[:2, 50].any() and out[-2:, 50].any()


@pytest.mark.parametrize('box', [[-50, 0, -20, 20], [0, 200, 10, 300], [np.nan, 0, 10, 10]])
def test_boxes_outside_are_left_out(box):
    assert (draw([box], [0]) == GRAY).all()


@pytest.mark.parametrize(
    'name', ['非常に長い名前', 'two\nlines', 'half \ud800', 'a nul \0', '', 'very long ' * 50]
)
def test_any_name_is_drawn(name):
    boxes, classes = [[0, 0, 50, 50], [9, 9, 40, 40]], [name, name]
    for scores in (None, [1.0, 0.0]):
        out = draw(boxes, [0, 1], classes=classes, scores=scores)
        assert out.shape == GRAY.shape


def test_long_names_are_cut_before_their_scores():
    out = draw([[20, 50, 60, 80]], [0], classes=['w' * 99], scores=[0.5])
    red = has(out, RED).any(0).nonzero()[0]
    assert 100 < red.max() - red.min() <= 121
    other = draw([[20, 50, 60, 80]], [0], classes=['w' * 99], scores=[0.6])
    assert (out != other).any()


@pytest.mark.parametrize('size', [1, 2, 12])
def test_tiny_images_are_drawn(size):
    dot = np.zeros((size, size, 3), np.uint8)
    out = draw([[0, 0, 1, 1], [-5, -5, 5, 5]], [0, 1], dot, scores=[0.1, 0.2])
    assert out.shape == dot.shape


def test_nothing_and_gray_are_drawn():
    assert (draw(np.zeros((0, 4)), []) == GRAY).all()
    gray = draw([[0, 0, 9, 9]], [0], image=GRAY[..., 0])
    assert gray.shape == GRAY.shape and has(gray, RED).any()


def test_the_image_given_stays_as_it_is():
    image = GRAY.copy()
    draw([[20, 30, 60, 80]], [0], image)
    assert (image == GRAY).all()


@pytest.mark.parametrize(
    'kwargs, name', [(dict(labels=[0, 1]), 'labels'), (dict(labels=[0], scores=[]), 'scores')]
)
def test_lists_of_other_lengths_are_an_error(kwargs, name):
    with pytest.raises(ValueError, match=f'{name} must hold one value'):
        draw([[0, 0, 9, 9]], **kwargs)


def test_a_caption_stands_in_the_corner_and_nowhere_else():
    image = np.full((120, 200, 3), 100, np.uint8)
    out = write_caption(image, 'cat', '97%', (250, 20, 20))
    changed = (out != image).any(2)
    assert changed[:20, :20].any() and not changed[60:].any()
    assert (out[changed] == (250, 20, 20)).all(1).any()
    long = write_caption(image, 'a name far too long for it ' * 5, '97%', (250, 20, 20))
    assert long.shape == image.shape


def test_a_image_too_small_for_letters_stays_as_it_was():
    image = np.full((8, 8, 3), 100, np.uint8)
    assert (write_caption(image, 'cat', '97%', (250, 20, 20)) == image).all()
