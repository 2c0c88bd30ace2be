"""From a config to a runner."""

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
