"""What the scenes show, and that neither color nor chance gives it away."""

import cv2
import numpy as np
import pytest

from mmanchor.demo.scenes import (
    DEMO_CLASSES,
    DEMO_PALETTE,
    DEMO_THING_CLASSES,
    STUFF_CLASSES,
    SceneStyle,
)
from mmanchor.demo.scenes.classes import PATTERNS, THINGS
from mmanchor.demo.scenes.rendering import MIN_VISIBLE, Rendering, render
from mmanchor.demo.scenes.scenes import VOID, Fill, Horizon, Scene, Shape, random_scene
from mmanchor.demo.scenes.shapes import draw_shape
from mmanchor.demo.scenes.textures import paint

STYLE = SceneStyle()
FILL = Fill('plain', ((200.0, 30.0, 30.0), (150.0, 20.0, 20.0)), 8.0, 0.0, 0)


def draw(stream: int, index: int, size: tuple = (96, 96)) -> Rendering:
    rng = np.random.default_rng([7, stream, index])
    return render(random_scene(rng, index, size, STYLE), STYLE)


def shape(
    class_index: int, owner: int = 0, x: float = 40.0, y: float = 40.0, diameter: float = 50.0
) -> Shape:
    return Shape(class_index, owner, (x, y), diameter, 0.3, 0.8, 0.5, FILL)


def scene(*shapes: Shape, crowd: int | None = None) -> Scene:
    horizon = Horizon(0.5, 0.0, (0.0, 1.0, 0.0))
    return Scene((80, 80), horizon, (FILL, FILL), shapes, crowd, 0)


def test_every_label_has_a_name_and_its_own_color() -> None:
    assert DEMO_CLASSES == STUFF_CLASSES + DEMO_THING_CLASSES
    assert len(set(DEMO_CLASSES)) == len(DEMO_CLASSES) == 10
    assert len(set(DEMO_PALETTE)) == len(DEMO_PALETTE) == 10
    assert len(DEMO_THING_CLASSES) == 8


def test_every_pattern_belongs_to_several_classes() -> None:
    for pattern in PATTERNS:
        assert sum(pattern in thing.patterns for thing in THINGS) >= 3


@pytest.mark.parametrize('class_index', [VOID, *range(len(THINGS))])
def test_shape_stays_in_its_circle(class_index: int) -> None:
    window, cover = draw_shape(shape(class_index), (80, 80))
    inside = np.zeros((80, 80), bool)
    inside[window] = cover >= 128
    y, x = np.nonzero(inside)
    assert np.hypot(x + 0.5 - 40, y + 0.5 - 40).max() < 26
    assert 300 < len(x) < 2000  # The circle around it has 1963 pixels.


def test_disc_lies_where_it_was_put() -> None:
    disc = Shape(0, 0, (20.0, 31.0), 20.0, 0.0, 1.0, 0.0, FILL)
    window, cover = draw_shape(disc, (60, 60))
    inside = np.zeros((60, 60), bool)
    inside[window] = cover >= 128
    y, x = np.nonzero(inside)
    assert x.mean() + 0.5 == pytest.approx(20, abs=0.1)
    assert y.mean() + 0.5 == pytest.approx(31, abs=0.1)
    assert len(x) == pytest.approx(np.pi * 10**2, rel=0.03)


def test_shape_outside_the_image_draws_nothing() -> None:
    assert draw_shape(shape(0, x=-60), (80, 80))[1].size == 0


def test_front_shape_hides_the_one_behind() -> None:
    behind, front = shape(0, owner=0), shape(3, owner=1, diameter=30.0)
    alone = render(scene(front), STYLE).instances[0].mask
    both = {i.class_index: i.mask for i in render(scene(behind, front), STYLE).instances}
    assert (both[3] == alone).all()
    assert not (both[0] & both[3]).any()


def test_object_with_few_visible_pixels_is_in_neither_annotation() -> None:
    hidden = shape(0, owner=0, diameter=20.0)
    cover = shape(3, owner=1, diameter=60.0)
    rendering = render(scene(hidden, cover), STYLE)
    assert [i.class_index for i in rendering.instances] == [3]
    speck = render(scene(shape(0, x=-9.0, diameter=20.0)), STYLE)
    assert speck.instances == []
    assert set(np.unique(speck.labels)) <= {0, 1, 2}
    assert 0 < (speck.labels == 0).sum() < MIN_VISIBLE


def test_unlabeled_region_hides_without_a_label() -> None:
    rendering = render(scene(shape(0), shape(VOID, VOID, diameter=30.0)), STYLE)
    assert rendering.labels[40, 40] == 0
    assert not rendering.instances[0].mask[40, 40]


def test_crowd_is_one_region() -> None:
    members = [shape(0, 5, x=20.0 + 15 * i, diameter=10.0) for i in range(3)]
    instances = render(scene(*members, crowd=5), STYLE).instances
    assert [i.crowd for i in instances] == [True]
    assert cv2.connectedComponents(instances[0].mask.astype(np.uint8))[0] - 1 == 3


@pytest.mark.parametrize('pattern', [*PATTERNS, 'gradient', 'clouds', 'gravel'])
def test_patterns_blend_the_two_colors(pattern: str) -> None:
    fill = Fill(pattern, ((0.0, 10.0, 200.0), (100.0, 10.0, 0.0)), 9.3, 0.7, 1)
    painted = paint(fill, 37, 53)
    assert painted.shape == (37, 53, 3)
    assert painted.min() > -0.1 and painted.max() < 200.1
    assert np.ptp(painted[..., 0]) > 20
    assert np.allclose(painted[..., 1], 10)


def test_scene_depends_on_its_own_numbers_only() -> None:
    first, again = draw(0, 3), draw(0, 3)
    assert (first.image == again.image).all()
    assert (first.labels == again.labels).all()
    assert (first.image != draw(1, 3).image).any()


def test_sizes_and_visible_areas_vary() -> None:
    areas = [
        np.count_nonzero(instance.mask)
        for index in range(40)
        for instance in draw(0, index).instances
    ]
    assert np.percentile(areas, 5) < 0.01 * 96**2
    assert np.percentile(areas, 97) > 0.1 * 96**2


def test_hue_alone_does_not_identify_the_classes() -> None:

    def hues(stream: int, count: int) -> tuple:
        means, class_indices = [], []
        for index in range(count):
            rendering = draw(stream, index, (64, 64))
            color = cv2.cvtColor(rendering.image, cv2.COLOR_RGB2HSV)
            angle = np.exp(1j * np.pi / 90 * color[..., 0])
            for instance in rendering.instances:
                if not instance.crowd:
                    mean = (angle * color[..., 1])[instance.mask].mean()
                    means.append(mean / abs(mean))
                    class_indices.append(instance.class_index)
        return np.array(means), np.array(class_indices)

    means, class_indices = hues(0, 80)
    centers = np.array([means[class_indices == k].mean() for k in range(len(THINGS))])
    centers /= abs(centers)
    means, class_indices = hues(1, 50)
    nearest = (means[:, None] * centers.conj()).real.argmax(1)
    accuracy = (nearest == class_indices).mean()
    assert 0.25 < accuracy < 0.58
