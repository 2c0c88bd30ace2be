"""Runs are logged to experiment trackers, on this machine unless the user has an account."""

from importlib.machinery import PathFinder
from importlib.util import find_spec

import pytest
from mmengine.config import Config
from mmengine.visualization import TensorboardVisBackend

from mmanchor.cli.main import main
from mmanchor.engine import trackers
from mmanchor.engine.trackers import TRACKERS, use_trackers
from mmanchor.utils.errors import UserError

# As MMEngine takes it: with a scope, and alone or in a list.
BOARD = dict(type='mmengine.TensorboardVisBackend')
VARIABLES = ('WANDB_MODE', 'MLFLOW_TRACKING_URI', 'CLEARML_OFFLINE_MODE', 'CLEARML_API_HOST')


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.setenv(name, '')  # is undone, also where the code sets it
        monkeypatch.delenv(name)
    monkeypatch.setenv('CLEARML_CONFIG_FILE', str(tmp_path / 'none.conf'))


@pytest.fixture
def installed(monkeypatch):
    """Let every package be found."""
    monkeypatch.setattr(trackers, '_is_installed', lambda name: True)


def types(cfg):
    return [each.type for each in cfg.visualizer.vis_backends]


def test_trackers_come_after_those_of_the_config(installed, tmp_path):
    local = dict(type='LocalVisBackend')
    board = dict(type='TensorboardVisBackend')
    cfg = Config(dict(work_dir=str(tmp_path), visualizer=dict(vis_backends=[local, board])))
    use_trackers(cfg, ['tensorboard', 'wandb'])
    assert types(cfg) == ['LocalVisBackend', 'TensorboardVisBackend', 'WandbVisBackend']
    assert cfg.visualizer.vis_backends[2].init_kwargs.mode == 'offline'


@pytest.mark.parametrize('backends', [BOARD, [BOARD], [{'type': TensorboardVisBackend}]])
def test_a_tracker_that_the_config_has_is_not_added_again(installed, tmp_path, backends):
    cfg = Config(dict(work_dir=str(tmp_path), visualizer=dict(vis_backends=backends)))
    use_trackers(cfg, ['tensorboard', 'wandb'])
    first, second = cfg.visualizer.vis_backends
    assert first.type in (BOARD['type'], TensorboardVisBackend)
    assert second.type == 'WandbVisBackend'


def test_an_account_is_used(installed, tmp_path, monkeypatch):
    monkeypatch.setenv('WANDB_MODE', 'online')
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'http://localhost:5000')
    monkeypatch.setenv('CLEARML_API_HOST', 'http://localhost:8008')
    cfg = Config(dict(work_dir=str(tmp_path)))
    use_trackers(cfg, list(TRACKERS))
    _, wandb, mlflow, _ = cfg.visualizer.vis_backends
    assert wandb.init_kwargs.mode == 'online'
    assert mlflow.tracking_uri == 'http://localhost:5000'
    assert 'CLEARML_OFFLINE_MODE' not in trackers.os.environ


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / 'wandb').mkdir()  # runs, and no package
    monkeypatch.setattr(
        trackers, 'find_spec', lambda name: PathFinder.find_spec(name, [str(tmp_path)])
    )
    backends = [dict(type='WandbVisBackend')]
    cfg = Config(dict(work_dir=str(tmp_path), visualizer=dict(vis_backends=backends)))
    with pytest.raises(
        UserError, match=r"needs the package wandb: pip install 'mmanchor\[wandb\]'"
    ):
        use_trackers(cfg)


def test_a_missing_package_of_mmengines_other_backends_is_named(tmp_path):
    backends = [dict(type='AimVisBackend')]
    cfg = Config(dict(work_dir=str(tmp_path), visualizer=dict(vis_backends=backends)))
    with pytest.raises(UserError, match='AimVisBackend needs the package aim: pip install aim'):
        use_trackers(cfg)


def test_an_unknown_tracker_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"one of tensorboard.*, got 'aim'"):
        use_trackers(Config(dict(work_dir=str(tmp_path))), ['aim'])


@pytest.mark.slow
@pytest.mark.parametrize('name', TRACKERS)
def test_losses_reach_the_tracker(name, tiny, tmp_path, plain_configs, monkeypatch):
    if find_spec(name) is None:  # ClearML reads the environment when it is imported
        pytest.skip(f'{name} is not installed')
    monkeypatch.setenv('CLEARML_CACHE_DIR', str(tmp_path / 'cache'))
    short = ['train_cfg.max_iters=2', 'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None']
    short += ['default_hooks.logger.interval=1']
    work_dir = tmp_path / 'run'
    words = ['train', str(tiny / 'seg.py'), '--work-dir', str(work_dir), '--tracker', name]
    assert main([*words, '--seed', '5', '--cfg-options', *short]) == 0
    assert READERS[name](work_dir) == {1, 2}


def _of_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [file] = folder.rglob('events.out.*')
    events = EventAccumulator(str(file))
    events.Reload()
    return {event.step for event in events.Scalars('loss')}


def _of_wandb(folder):
    file = next(folder.rglob('*.wandb'))
    return {1, 2} if b'decode.loss_ce' in file.read_bytes() else set()


def _of_mlflow(folder):
    import mlflow

    client = mlflow.MlflowClient(f'sqlite:///{folder / "mlflow.db"}')
    experiment = client.get_experiment_by_name('mmanchor')
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == folder.name
    return {metric.step for metric in client.get_metric_history(run.info.run_id, 'loss')}


def _of_clearml(folder):
    import json
    import zipfile

    [file] = (folder.parent / 'cache').rglob('*.zip')
    with zipfile.ZipFile(file) as packed:
        lines = packed.read('metrics.jsonl').decode().splitlines()
    events = [event for line in lines for event in json.loads(line)]
    return {event['iter'] for event in events if event['metric'] == 'loss'}


READERS = dict(tensorboard=_of_tensorboard, wandb=_of_wandb, mlflow=_of_mlflow, clearml=_of_clearml)
