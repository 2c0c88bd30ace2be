from datetime import timedelta

import pytest
from mmengine.config import Config

from mmanchor.engine import runner as launch
from mmanchor.engine.runner import make_repeatable, prepare_launch, require_supported
from mmanchor.utils.errors import UserError


def test_launcher_needs_its_environment(monkeypatch):
    monkeypatch.delenv('SLURM_PROCID', raising=False)
    with pytest.raises(UserError, match='--launcher slurm needs SLURM_PROCID'):
        prepare_launch(Config(dict(launcher='slurm')))


def test_unknown_launcher():
    with pytest.raises(UserError, match=r"one of none, .* got 'ssh'"):
        prepare_launch(Config(dict(launcher='ssh')))


def test_cpu_gets_gloo_and_plain_batch_norm(monkeypatch):
    started = []
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(launch, 'is_distributed', lambda: False)
    monkeypatch.setattr(
        launch.distributed,
        'init_process_group',
        lambda *args, **kwargs: started.append((args, kwargs)),
    )
    for name, value in (
        ('RANK', '0'),
        ('WORLD_SIZE', '2'),
        ('LOCAL_RANK', '0'),
        ('MASTER_ADDR', 'here'),
        ('MASTER_PORT', '1'),
    ):
        monkeypatch.setenv(name, value)
    cfg = Config(
        dict(
            launcher='pytorch',
            model=dict(heads=[dict(norm_cfg=dict(type='SyncBN'))]),
            sync_bn='torch',
        )
    )
    prepare_launch(cfg)
    assert started == [(('gloo',), dict(timeout=timedelta(seconds=600)))]
    assert cfg.env_cfg.dist_cfg.timeout == 600
    assert cfg.model.heads[0].norm_cfg.type == 'BN'
    assert 'sync_bn' not in cfg


def test_one_process_leaves_the_config_alone():
    cfg = Config(dict(launcher='none', model=dict(type='SyncBN')))
    prepare_launch(cfg)
    assert cfg.model.type == 'SyncBN'


@pytest.mark.parametrize('timeout', ['soon', 0, -1])
def test_timeout_is_seconds(timeout, monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, '0')
    cfg = Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dict(timeout=timeout))))
    with pytest.raises(UserError, match=r'env_cfg.dist_cfg.timeout'):
        prepare_launch(cfg)


@pytest.mark.parametrize('name', ['FSDPStrategy', 'DeepSpeedStrategy', 'ColossalAIStrategy', 'x'])
def test_strategies_that_do_not_work_here_are_refused(name):
    cfg = Config(dict(runner_type='FlexibleRunner', strategy=dict(type=name)))
    with pytest.raises(UserError, match=f"strategy='{name}' is not supported"):
        require_supported(cfg)


def test_what_needs_a_gpu_is_refused_without_one(monkeypatch):
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    require_supported(Config(dict(runner_type='FlexibleRunner', strategy='SingleDeviceStrategy')))
    for strategy in ('DDPStrategy', dict(type='DDPStrategy'), None):
        with pytest.raises(UserError, match='needs a GPU'):
            require_supported(Config(dict(runner_type='FlexibleRunner', strategy=strategy)))
    with pytest.raises(UserError, match='AmpOptimWrapper'):
        require_supported(Config(dict(optim_wrapper=dict(type='AmpOptimWrapper'))))


def test_hook_and_sampler_are_added_once():
    cfg = Config(dict(train_dataloader=dict(sampler=dict(type='InfiniteSampler'))))
    make_repeatable(cfg)
    make_repeatable(cfg)
    assert [hook.type for hook in cfg.custom_hooks] == ['mmanchor.ExactResumeHook']
    assert cfg.train_dataloader.sampler.sampler.type == 'InfiniteSampler'


@pytest.mark.parametrize('place', ['custom_hooks', 'default_hooks'])
def test_hook_of_the_config_decides(place):
    hook = dict(type='mmanchor.ExactResumeHook', enable=False)
    hooks = dict(exact=hook) if place == 'default_hooks' else [hook]
    cfg = Config({place: hooks, 'train_dataloader': dict(sampler=dict(type='a'))})
    make_repeatable(cfg)
    assert cfg.train_dataloader.sampler.type == 'a'
    assert len(cfg.get('custom_hooks') or ()) == (place == 'custom_hooks')
