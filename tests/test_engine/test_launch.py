import pytest
from mmengine.config import Config

from mmanchor.engine import launch
from mmanchor.engine.launch import prepare_launch
from mmanchor.utils.errors import UserError


def test_launcher_needs_its_environment(monkeypatch):
    monkeypatch.delenv('SLURM_PROCID', raising=False)
    with pytest.raises(UserError, match='--launcher slurm needs SLURM_PROCID'):
        prepare_launch(Config(dict(launcher='slurm')))


def test_unknown_launcher():
    with pytest.raises(UserError, match="one of none, .* got 'ssh'"):
        prepare_launch(Config(dict(launcher='ssh')))


def test_cpu_gets_gloo_and_plain_batch_norm(monkeypatch):
    started = []
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(launch, 'is_distributed', lambda: False)
    monkeypatch.setattr(launch.distributed, 'init_process_group', started.append)
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
            model_wrapper_cfg=dict(find_unused_parameters=True),
        )
    )
    prepare_launch(cfg)
    assert started == ['gloo']
    assert cfg.model.heads[0].norm_cfg.type == 'BN'
    assert 'sync_bn' not in cfg
    assert cfg.model_wrapper_cfg.device_ids is None
    assert cfg.model_wrapper_cfg.find_unused_parameters


def test_one_process_leaves_the_config_alone():
    cfg = Config(dict(launcher='none', model=dict(type='SyncBN')))
    prepare_launch(cfg)
    assert cfg.model.type == 'SyncBN' and 'model_wrapper_cfg' not in cfg
