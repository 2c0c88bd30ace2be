import socket

import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from mmanchor.apis import train as train_module
from mmanchor.apis.train import train_model
from mmanchor.engine import launch
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

pytestmark = pytest.mark.usefixtures('plain_configs')
SHORT = {
    'train_cfg.max_iters': 1,
    'val_cfg': None,
    'val_dataloader': None,
    'val_evaluator': None,
    'log_level': 'ERROR',
}


@pytest.fixture
def cfg(tiny, tmp_path):
    return load_config(tiny / 'seg.py', SHORT, tmp_path)


@pytest.fixture
def started(monkeypatch):
    """Configs that would have been run."""
    cfgs = []

    class Runner:
        def train(self):
            """Train nothing."""

        def register_hook(self, hook):
            """Register nothing."""

    def build_runner(cfg):
        cfgs.append(cfg)
        return Runner()

    monkeypatch.setattr(train_module, 'build_runner', build_runner)
    return cfgs


@pytest.mark.parametrize(
    'options, flags, message',
    [
        (dict(train_dataloader=None), {}, 'has no train_dataloader'),
        ({}, dict(resume='gone.pth'), "--resume: .* 'gone.pth'"),
        (dict(load_from='gone.pth'), {}, "load_from: .* 'gone.pth'"),
        ({}, dict(amp=True), '--amp needs a GPU'),
        (
            {'optim_wrapper.type': 'DeepSpeedOptimWrapper'},
            dict(amp=True),
            "but the config has 'DeepSpeedOptimWrapper'",
        ),
        ({}, dict(auto_scale_lr=True), 'auto_scale_lr.base_batch_size'),
        (
            {'train_dataloader.dataset.data_root': 'gone', 'model.type': 'NotBuilt'},
            {},
            'gone/images/training',
        ),
        ({'model.backbone.type': 'NoSuchNet'}, {}, 'cannot be built: .*NoSuchNet'),
        ({'model.backbone.no_such_option': 1}, {}, 'cannot be built: TypeError: .*no_such_option'),
        (
            {'model.backbone': dict(_delete_=True, type='mmanchor.AnchorFormer', arch='huge')},
            {},
            'cannot be built: ValueError: arch must be .*base.py, line',
        ),
    ],
)
def test_mistakes_stop_before_training(tiny, tmp_path, monkeypatch, options, flags, message):
    monkeypatch.setattr(train_module, 'get_device', lambda: 'cpu')
    cfg = load_config(tiny / 'seg.py', {**SHORT, **options}, tmp_path)
    with pytest.raises(UserError, match=message):
        train_model(cfg, **flags)


def test_flags_reach_the_config(cfg, started, monkeypatch):
    monkeypatch.setattr(train_module, 'get_device', lambda: 'cuda')
    cfg.auto_scale_lr = dict(base_batch_size=16)
    train_model(cfg, amp=True, auto_scale_lr=True)
    (run,) = started
    assert run.optim_wrapper.type == 'AmpOptimWrapper'
    assert run.optim_wrapper.loss_scale == 'dynamic'
    assert run.auto_scale_lr.enable


@pytest.mark.parametrize('has_weights', [False, True])
def test_nothing_to_resume_starts_as_the_config_says(cfg, started, seg_checkpoint, has_weights):
    cfg.load_from = str(seg_checkpoint) if has_weights else None
    train_model(cfg, resume='auto')
    assert not started[0].resume
    assert started[0].load_from == cfg.load_from
    assert bool(cfg.load_from) == has_weights


def test_resume_takes_the_newest(cfg, started, tmp_path, seg_checkpoint):
    torch.save({}, tmp_path / 'iter_7.pth')
    cfg.load_from = str(seg_checkpoint)
    train_model(cfg, resume='auto')
    assert started[0].resume is True
    assert started[0].load_from == str(tmp_path / 'iter_7.pth')


def test_given_checkpoint_is_resumed(cfg, started, seg_checkpoint):
    train_model(cfg, resume=seg_checkpoint)
    assert started[0].resume and started[0].load_from == str(seg_checkpoint)


def test_sampler_and_hook_are_added_once(cfg, started):
    train_model(cfg)
    train_model(cfg)
    assert cfg.train_dataloader.sampler == dict(
        type='mmanchor.SeededSampler', sampler=dict(type='InfiniteSampler', shuffle=True)
    )
    types = [hook['type'] for hook in cfg.custom_hooks]
    assert sorted(types) == ['mmanchor.ExactResumeHook', 'mmanchor.SkippedImagesHook']


def test_weights_of_another_model_are_not_resumed(cfg, det_checkpoint):
    with pytest.raises(UserError, match='d.pth.* is not of this model'):
        train_model(cfg, resume=det_checkpoint)


def test_distributed_training_works_on_a_cpu(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    for name, value in dict(RANK=0, WORLD_SIZE=1, LOCAL_RANK=0, MASTER_PORT=port).items():
        monkeypatch.setenv(name, str(value))
    cfg = load_config(tiny / 'seg.py', SHORT, tmp_path, 'pytorch')
    try:
        runner = train_model(cfg)
        assert torch.distributed.get_backend() == 'gloo'
        assert isinstance(runner.model, MMDistributedDataParallel)
    finally:
        torch.distributed.destroy_process_group()
