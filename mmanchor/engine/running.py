"""What training and testing share: from a config to a runner."""

import time

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from ..utils.config import building
from ..utils.files import make_folder
from .launch import prepare_launch


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, in as many processes as were launched.

    Args:
        cfg: A config with ``work_dir`` and ``launcher``.

    Returns:
        The runner, its model built.

    Raises:
        UserError: If the work folder cannot be written to, the launcher did
            not start this process, or the config cannot be built.
    """
    make_folder(cfg.work_dir, '--work-dir')
    prepare_launch(cfg)
    _rename_taken_visualizer(cfg)
    with building(cfg):
        if 'runner_type' in cfg:
            return RUNNERS.build(cfg)
        return Runner.from_cfg(cfg)


def _rename_taken_visualizer(cfg: Config) -> None:
    """Give the run a visualizer of its own.

    MMEngine keeps visualizers by name for the whole process: a second run
    would get the first one's, and log into the first one's folder. Its
    inferencers rename theirs in the same way.
    """
    visualizer = cfg.get('visualizer')
    name = visualizer.get('name') if isinstance(visualizer, dict) else None
    if name and Visualizer.check_instance_created(name):
        visualizer.name = f'{name}-{time.time_ns()}'
