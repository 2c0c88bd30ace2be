"""Runs of one process share nothing by name."""

import time
from types import SimpleNamespace

import tiny_project
from mmengine.visualization import Visualizer

from mmanchor.engine.runner import build_runner
from mmanchor.utils.config import load_config


def test_two_runs_in_one_process_have_visualizers_of_their_own(tmp_path, plain_configs):
    data = tiny_project.make_data(tmp_path / 'data')
    config = tiny_project.write_config(tmp_path, tiny_project.DETECTION, data)
    visualizers = []
    for name in ('first', 'second'):
        cfg = load_config(config, work_dir=tmp_path / name)
        assert cfg.visualizer.name == 'visualizer'
        runner = build_runner(cfg)
        assert runner.visualizer is Visualizer.get_current_instance()
        visualizers.append(runner.visualizer)
    first, second = visualizers
    assert first is not second
    assert 'first' in str(first._vis_backends['LocalVisBackend']._save_dir)
    assert 'second' in str(second._vis_backends['LocalVisBackend']._save_dir)


def test_two_runs_of_the_same_second_share_nothing(tmp_path, plain_configs, monkeypatch):
    clock = SimpleNamespace(
        time=lambda: 1.7e9, localtime=time.localtime, strftime=time.strftime, sleep=time.sleep
    )
    monkeypatch.setattr('mmengine.runner.runner.time', clock)
    data = tiny_project.make_data(tmp_path / 'data')
    config = tiny_project.write_config(tmp_path, tiny_project.DETECTION, data)
    first, second = (
        build_runner(load_config(config, work_dir=tmp_path / name)) for name in ('a', 'b')
    )
    assert first.timestamp == second.timestamp
    assert first.logger is not second.logger
    # What to keep of checkpoints is noted there: a shared one lost those of the first run.
    assert first.message_hub is not second.message_hub
