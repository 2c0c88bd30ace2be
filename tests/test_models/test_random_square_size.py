"""One square size a batch, a function of seed and iteration."""

import pytest
import torch
from mmdet.testing import demo_mm_inputs
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope

from mmanchor.models import RandomSquareSize


@pytest.fixture
def at():
    """Pretend to be somewhere in a run."""

    def move(seed, iteration):
        hub = MessageHub.get_instance('run')
        hub.update_info_dict(dict(seed=seed, iter=iteration))

    yield move
    MessageHub._instance_dict.clear()


def preprocess(sizes, shapes=((3, 64, 64), (3, 40, 64))):
    with DefaultScope.overwrite_default_scope('mmdet'):
        module = MODELS.build(
            dict(
                type='DetDataPreprocessor',
                pad_size_divisor=32,
                batch_augments=[dict(type='mmanchor.RandomSquareSize', sizes=sizes)],
            )
        )
    data = demo_mm_inputs(len(shapes), list(shapes))
    before = [sample.gt_instances.bboxes.clone() for sample in data['data_samples']]
    out = module(data, True)
    return out['inputs'], out['data_samples'], before


def test_images_and_boxes_are_scaled():
    images, samples, before = preprocess([96])
    assert images.shape == (2, 3, 96, 96)
    for sample, boxes in zip(samples, before, strict=True):
        assert sample.batch_input_shape == sample.pad_shape == (96, 96)
        torch.testing.assert_close(sample.gt_instances.bboxes, boxes * 1.5)
    assert [sample.img_shape for sample in samples] == [(96, 96), (60, 96)]


def test_ignored_boxes_are_scaled_and_none_may_be_there():
    data = demo_mm_inputs(1, [(3, 64, 64)])
    (sample,) = data['data_samples']
    sample.ignored_instances = sample.gt_instances
    sample.gt_instances = sample.gt_instances[:0]
    before = sample.ignored_instances.bboxes
    RandomSquareSize([32])(torch.rand(1, 3, 64, 64), [sample])
    assert sample.gt_instances.bboxes.shape == (0, 4)
    assert torch.equal(sample.ignored_instances.bboxes, before / 2)


def test_the_right_size_is_left_alone():
    _, samples, before = preprocess([64], shapes=[(3, 64, 64)])
    assert torch.equal(samples[0].gt_instances.bboxes, before[0])


def test_the_size_depends_on_seed_and_iteration_only(at):
    augment = RandomSquareSize((352, 384, 416, 448, 480))

    def draw(seed, iteration):
        at(seed, iteration)
        torch.manual_seed(iteration * 7)
        return augment._draw()

    first = [draw(3, iteration) for iteration in range(100)]
    assert first == [draw(3, iteration) for iteration in range(100)]
    assert first != [draw(4, iteration) for iteration in range(100)]
    assert set(first) == set(augment.sizes)


def test_a_scale_that_is_not_square():
    images, samples, before = preprocess([64], shapes=[(3, 32, 128)])
    assert images.shape[-2:] == (64, 64)
    torch.testing.assert_close(
        samples[0].gt_instances.bboxes, before[0] * torch.tensor([0.5, 2, 0.5, 2])
    )


@pytest.mark.parametrize('sizes', [(), (0, 32)])
def test_sizes_must_be_sides(sizes):
    with pytest.raises(ValueError, match='sizes must be'):
        RandomSquareSize(sizes)
