"""The average of PaddleDetection's recipe, forgotten every some epochs."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

RECIPE = dict(
    type='mmanchor.RestartedEMAHook',
    restart_interval=2,
    ema_type='MomentumAnnealingEMA',
    momentum=0.0002,
    gamma=9,
    update_buffers=True,
)


def new_hook(model, **options):
    hook = HOOKS.build({**RECIPE, **options})
    hook.before_run(SimpleNamespace(model=model))
    return hook


def run_epoch(hook, model, epoch, values):
    """Pretend to train: the weight and a buffer take the given values."""
    runner = SimpleNamespace(model=model, epoch=epoch, iter=0)
    hook.before_train_epoch(runner)
    for value in values:
        model.weight.data.fill_(value)
        model.running_mean.fill_(10 * value)
        hook.after_train_iter(runner, 0)


def averages(hook):
    state = hook.ema_model.module.state_dict()
    return state['weight'].item(), state['running_mean'].item()


@pytest.fixture
def model():
    return nn.BatchNorm1d(1)


def test_decay_is_that_of_paddledetection(model):
    hook = new_hook(model)
    values = torch.rand(50, dtype=torch.float64).tolist()
    run_epoch(hook, model, 0, values)
    expected = values[0]
    for done, value in enumerate(values[1:]):
        decay = min(0.9998, (1 + done) / (10 + done))
        expected = decay * expected + (1 - decay) * value
    assert averages(hook) == pytest.approx((expected, 10 * expected), 1e-5)


def test_the_decay_ends_at_its_limit(model):
    hook = new_hook(model)
    run_epoch(hook, model, 0, [0.0])
    hook.ema_model.steps.fill_(10**6)
    run_epoch(hook, model, 1, [1.0])
    assert averages(hook)[0] == pytest.approx(0.0002, 1e-4)


def test_every_cycle_starts_anew(model):
    hook, fresh = new_hook(model), nn.BatchNorm1d(1)
    for epoch, values in enumerate(([5.0, 6.0], [7.0, 8.0], [1.0, 2.0], [3.0, 1.0])):
        run_epoch(hook, model, epoch, values)
    second = new_hook(fresh)
    run_epoch(second, fresh, 0, [1.0, 2.0, 3.0, 1.0])
    assert averages(hook) == averages(second)
    assert hook.ema_model.steps == 4


def test_the_old_average_is_gone_before_the_first_iteration(model):
    hook = new_hook(model)
    run_epoch(hook, model, 0, [4.0, 8.0])
    run_epoch(hook, model, 1, [])
    assert averages(hook)[0] < 8
    run_epoch(hook, model, 2, [])
    assert averages(hook) == (8, 80) and hook.ema_model.steps == 0


def test_what_it_refuses(model):
    with pytest.raises(ValueError, match=r'restart_interval .* got 0'):
        new_hook(model, restart_interval=0)
    runner = SimpleNamespace(max_iters=9, train_loop=object())
    with pytest.raises(ValueError, match='EpochBasedTrainLoop; use EMAHook'):
        new_hook(model).before_train(runner)
    runner.train_loop = object.__new__(EpochBasedTrainLoop)
    new_hook(model).before_train(runner)
