"""A resumed run equals one that was never stopped, bit for bit."""

import random

import numpy as np
import pytest
import torch

from mmanchor.apis import train as train_module
from mmanchor.utils.config import load_config

pytestmark = pytest.mark.usefixtures('plain_configs')


def train(config, work_dir, resume=None, **options):
    options = {key.replace('__', '.'): v for key, v in options.items()}
    options.update(log_level='ERROR', val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg = load_config(config, options, work_dir)
    runner = train_module.train_model(cfg, resume)
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def stop_and_resume(config, work_dir, stop, **options):
    train(config, work_dir, **stop, **options)
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    return train(config, work_dir, resume='auto', **options)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 1])
def test_by_iterations_whatever_the_workers(tiny, tmp_path, workers):
    whole = train(tiny / 'seg.py', tmp_path / 'a')
    resumed = stop_and_resume(
        tiny / 'seg.py',
        tmp_path / 'b',
        dict(train_cfg__max_iters=2),
        train_dataloader__num_workers=workers,
        train_dataloader__persistent_workers=bool(workers),
    )
    assert same(whole, resumed)


@pytest.mark.slow
def test_by_iterations_with_a_sampler_that_ends(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    options = dict(train_dataloader__sampler=dict(type='DefaultSampler', shuffle=True))
    whole = train(tiny / 'seg.py', tmp_path / 'a', **options)
    resumed = stop_and_resume(
        tiny / 'seg.py', tmp_path / 'b', dict(train_cfg__max_iters=2), **options
    )
    assert same(whole, resumed)


@pytest.mark.slow
def test_by_epochs(tiny, tmp_path):
    whole = train(tiny / 'det.py', tmp_path / 'a')
    resumed = stop_and_resume(tiny / 'det.py', tmp_path / 'b', dict(train_cfg__max_epochs=1))
    assert same(whole, resumed)


@pytest.mark.slow
def test_without_a_seed_in_the_config(tiny, tmp_path):
    train(tiny / 'seg.py', tmp_path / 'a', randomness=dict(seed=None))
    # The whole run goes on to 4, so its checkpoint of 2 is the stopped run.
    (tmp_path / 'a' / 'last_checkpoint').write_text('iter_2.pth')
    whole = torch.load(tmp_path / 'a' / 'iter_4.pth', weights_only=False)
    resumed = train(tiny / 'seg.py', tmp_path / 'a', resume='auto', randomness=dict(seed=None))
    assert same(whole['state_dict'], resumed)


@pytest.mark.slow
def test_mmengine_alone_does_not_repeat(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, 'make_repeatable', lambda cfg: None)
    whole = train(tiny / 'seg.py', tmp_path / 'a')
    resumed = stop_and_resume(tiny / 'seg.py', tmp_path / 'b', dict(train_cfg__max_iters=2))
    assert not same(whole, resumed)
