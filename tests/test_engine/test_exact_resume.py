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
    whole = torch.load(tmp_path / 'a' / 'iter_4.pth', weights_only=False)
    resumed = train(
        tiny / 'seg.py',
        tmp_path / 'b',
        resume=tmp_path / 'a' / 'iter_2.pth',
        randomness=dict(seed=None),
    )
    assert same(whole['state_dict'], resumed)


@pytest.mark.slow
def test_mmengine_alone_does_not_repeat(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(train_module, 'make_repeatable', lambda cfg: None)
    whole = train(tiny / 'seg.py', tmp_path / 'a')
    resumed = stop_and_resume(tiny / 'seg.py', tmp_path / 'b', dict(train_cfg__max_iters=2))
    assert not same(whole, resumed)


@pytest.mark.slow
@pytest.mark.parametrize('stop', [1, 2, 3])
def test_inside_a_sum_of_gradients(tiny, tmp_path, stop):
    options = dict(optim_wrapper__accumulative_counts=2, default_hooks__checkpoint__interval=1)
    options['default_hooks__checkpoint__max_keep_ckpts'] = 9
    whole = train(tiny / 'seg.py', tmp_path / 'a', **options)
    path = tmp_path / 'a' / f'iter_{stop}.pth'
    assert ('gradients' in torch.load(path, weights_only=False)) == (stop % 2 == 1)
    assert same(whole, train(tiny / 'seg.py', tmp_path / 'b', resume=path, **options))


@pytest.mark.slow
def test_a_sum_of_gradients_of_an_older_version(tiny, tmp_path):
    options = dict(optim_wrapper__accumulative_counts=2, default_hooks__checkpoint__interval=1)
    options['default_hooks__checkpoint__max_keep_ckpts'] = 9
    whole = train(tiny / 'seg.py', tmp_path / 'a', **options)
    checkpoint = torch.load(tmp_path / 'a' / 'iter_3.pth', weights_only=False)
    checkpoint['gradients'] = checkpoint['gradients'][0]
    torch.save(checkpoint, tmp_path / 'older.pth')
    again = train(tiny / 'seg.py', tmp_path / 'b', resume=tmp_path / 'older.pth', **options)
    assert same(whole, again)


@pytest.mark.slow
def test_inside_an_epoch(tiny, tmp_path):
    options = dict(
        default_hooks__checkpoint=dict(
            type='CheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=9
        )
    )
    whole = train(tiny / 'det.py', tmp_path / 'a', **options)
    for stop in (1, 3):
        resumed = train(
            tiny / 'det.py', tmp_path / 'b', tmp_path / 'a' / f'iter_{stop}.pth', **options
        )
        assert same(whole, resumed), stop


@pytest.mark.slow
def test_another_batch_size_is_warned_of(tiny, tmp_path):
    train(tiny / 'seg.py', tmp_path / 'a', train_cfg__max_iters=2)
    cfg = load_config(
        tiny / 'seg.py',
        {'train_dataloader.batch_size': 1, 'train_cfg.max_iters': 3, 'val_cfg': None,
         'val_dataloader': None, 'val_evaluator': None, 'log_level': 'INFO'},
        tmp_path / 'a',
    )  # fmt: skip
    train_module.train_model(cfg, 'auto')
    logs = ''.join(path.read_text() for path in (tmp_path / 'a').glob('*/*.log'))
    assert 'batch_size is 1 and was 2: the resumed run goes on, but' in logs
