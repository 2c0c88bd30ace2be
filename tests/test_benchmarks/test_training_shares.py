import itertools

import pytest
import torch

from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError
from tools.benchmarks import training
from tools.benchmarks.training import assignment_share, demo_config, loading_share


@pytest.fixture
def ticks(monkeypatch):
    """A clock that moves on by a second whenever it is read."""
    clock = itertools.count()
    monkeypatch.setattr(training.time, 'perf_counter', lambda: next(clock))


def test_waiting_is_what_the_loader_takes(tiny, ticks):
    cfg = load_config(tiny / 'seg.py')
    before = cfg.to_dict()
    # Six images in batches of two, without end.
    share = loading_share(cfg, iters=4, warmup=1)
    assert share == dict(waiting=1, step=1, share=0.5, batch=2, workers=0, iters=4)
    assert cfg.to_dict() == before


def test_loaders_with_an_end_begin_again(tiny, ticks):
    share = loading_share(load_config(tiny / 'det.py'), iters=5, warmup=0)
    assert share['iters'] == 5 and share['share'] == 0.5


def test_assigning_is_what_the_assigner_takes(tiny, ticks):
    share = assignment_share(
        load_config(tiny / 'picodet.py'), batch=2, size=(64, 96), iters=2, warmup=1
    )
    # Two readings around the step and two around each image's assignment.
    assert share == dict(assigning=2, step=5, share=0.4, batch=2, size=[64, 96], boxes=7, iters=2)


def test_random_boxes_lie_in_the_image():
    samples = training._random_samples(4, (64, 96), num_classes=3)
    boxes = torch.cat([each.gt_instances.bboxes for each in samples])
    sides = boxes[:, 2:] - boxes[:, :2]
    assert boxes.shape == (28, 4) and boxes.min() >= 0
    assert (boxes[:, 2:] <= torch.tensor([96.001, 64.001])).all()
    assert (sides >= torch.tensor([3, 2]) - 1e-3).all()


def test_models_without_an_assigner_are_named(tiny):
    with pytest.raises(UserError, match=r'seg\.py has no bbox_head with an'):
        assignment_share(load_config(tiny / 'seg.py'))


@pytest.mark.parametrize('task, layout', [('detection', 'coco'), ('segmentation', 'ade')])
def test_demos_train_on_the_scenes(tmp_path, task, layout):
    cfg = demo_config(task, tmp_path, num_train=2)
    assert cfg.train_dataloader.dataset.data_root == str(tmp_path / layout)
    assert (tmp_path / layout).is_dir()


def test_unknown_demo_is_named(tmp_path):
    with pytest.raises(UserError, match="'video'; choose from detection, "):
        demo_config('video', tmp_path)
