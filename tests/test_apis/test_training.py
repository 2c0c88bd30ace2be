import socket

import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from mmanchor.apis import train as train_module
from mmanchor.apis.train import train_model
from mmanchor.data_check import preflight
from mmanchor.engine import runner as launch
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
        model = torch.nn.Identity()
        work_dir = '.'

        def train(self):
            """Train nothing."""

        def register_hook(self, hook):
            """Register nothing."""

    def build_runner(cfg, verbose):
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


def test_only_damaged_checkpoints_are_no_new_start(cfg, started, tmp_path):
    (tmp_path / 'iter_7.pth').write_bytes(b'')
    with pytest.raises(UserError, match=r'every checkpoint .* is damaged \(iter_7.pth\)'):
        train_model(cfg, resume='auto')
    assert not started


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


def test_weights_of_another_model_are_not_resumed(cfg, det_checkpoint, tmp_path):
    with pytest.raises(UserError, match=r'resume from .*d.pth: its meta .*load_from'):
        train_model(cfg, resume=det_checkpoint)
    saved = torch.load(det_checkpoint, weights_only=False)
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    torch.save(dict(saved, meta=dict(epoch=0, iter=1), message_hub=hub), tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r'other.pth.* is not of this model'):
        train_model(cfg, resume=tmp_path / 'other.pth')


def test_start_from_another_model_is_refused(cfg, det_checkpoint):
    cfg.load_from = str(det_checkpoint)
    with pytest.raises(UserError, match=r'loaded \d+ of \d+ weights .*Almost nothing fits'):
        train_model(cfg)


def test_start_from_weights_says_in_one_line_what_fits(cfg, seg_checkpoint, tmp_path, caplog):
    saved = torch.load(seg_checkpoint, weights_only=False)
    weights = saved['state_dict']
    changed = [name for name in weights if 'conv_seg' in name and 'decode' in name]
    for name in changed:
        weights[name] = torch.zeros(7)
    torch.save(dict(saved, state_dict=dict(weights, extra=torch.ones(1))), tmp_path / 'start.pth')
    cfg.load_from = str(tmp_path / 'start.pth')
    cfg.log_level = 'INFO'
    runner = train_model(cfg)
    log = next(tmp_path.glob('*/*.log')).read_text()
    (line,) = [line for line in log.splitlines() if 'load_from: loaded' in line]
    total = len(runner.model.state_dict())
    assert f'loaded {total - len(changed)} of {total} weights' in line
    assert f'other shape: {len(changed)} ({changed[0]}' in line
    assert 'not in the model: 1 (extra)' in line
    assert 'do not match exactly' not in log


@pytest.mark.parametrize(
    'auto, options, factor',
    [
        (dict(base_batch_size=16), {}, '0.125'),
        (dict(base_batch_size=16), {'optim_wrapper.accumulative_counts': 4}, '0.5'),
        (dict(base_batch_size=2), {}, None),
        (dict(base_batch_size=16, enable=True), {}, None),
        (None, {}, None),
    ],
)
def test_learning_rate_for_another_batch_size_is_warned_of_once(
    auto, options, factor, tiny, tmp_path, started, monkeypatch
):
    told = []
    monkeypatch.setattr(preflight, 'print_log', lambda text, *_, **__: told.append(text))
    cfg = load_config(tiny / 'seg.py', {**SHORT, **options}, tmp_path)
    cfg.auto_scale_lr = auto
    train_model(cfg)
    told = [text for text in told if '--auto-scale-lr' in text]
    assert len(told) == (factor is not None)
    assert factor is None or f'multiplies it by {factor}' in told[0]


@pytest.mark.parametrize(
    'options, message',
    [
        ({'train_dataloader.batch_size': 0}, 'batch_size of .* above 0, got 0'),
        ({'train_dataloader.num_workers': -1}, 'num_workers of .* got -1'),
        ({'optim_wrapper.optimizer.type': 'NoSuch'}, 'NoSuch'),
        ({'optim_wrapper.optimizer.lr': 'abc'}, r'optimizer.lr of .* a number'),
        ({'optim_wrapper.optimizer.lr': float('nan')}, 'a number, 0 or above, got nan'),
        ({'param_scheduler': [dict(type='NoSched')]}, 'NoSched is not in the'),
        ({'train_cfg.type': 'NoLoop'}, 'NoLoop is not in the'),
        ({'train_cfg.max_iters': 'abc'}, 'abc'),
        ({'train_dataloader.dataset.pipeline': [dict(type='NoTf')]}, 'NoTf is not in the'),
        ({'log_level': 'LOUD'}, 'LOUD'),
        ({'env_cfg': 5}, 'env_cfg of .* must be a dict'),
        ({'custom_hooks': 5}, 'custom_hooks of .* must be a list'),
        ({'model.decode_head.num_classes': -1}, 'num_classes is -1'),
    ],
)
def test_what_is_built_late_is_an_error_of_the_config(tiny, tmp_path, options, message):
    cfg = load_config(tiny / 'seg.py', SHORT, tmp_path)
    for key, value in options.items():
        *path, last = key.split('.')
        node = cfg
        for part in path:
            node = node[part]
        node[last] = value
    with pytest.raises(UserError, match=message):
        train_model(cfg)


def test_full_disk_is_one_line_with_the_newest_checkpoint(cfg, tmp_path, monkeypatch):
    from mmengine.runner import checkpoint

    cfg.train_cfg.max_iters = 2
    cfg.default_hooks = dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=1)
    )
    saved, real = [], checkpoint.get_file_backend

    def full(*args, **kwargs):
        saved.append(1)
        if len(saved) > 1:
            raise OSError(28, 'No space left on device')
        return real(*args, **kwargs)

    monkeypatch.setattr(checkpoint, 'get_file_backend', full)
    with pytest.raises(UserError, match=r'iter_2.pth was not written \(No space.*iter_1.pth'):
        train_model(cfg)
    assert (tmp_path / 'iter_1.pth').is_file()


def test_no_room_for_a_checkpoint_is_said_before_training(cfg, monkeypatch):
    usage = type('Usage', (), dict(free=1000))
    monkeypatch.setattr(launch, 'LEAST_FREE', 0)
    monkeypatch.setattr(launch.shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(UserError, match=r'0.0 MiB left.*make room'):
        train_model(cfg)


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
