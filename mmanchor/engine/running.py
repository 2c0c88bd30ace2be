"""What training and testing share: from a config to a runner."""

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

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
    with building(cfg):
        if 'runner_type' in cfg:
            return RUNNERS.build(cfg)
        return Runner.from_cfg(cfg)
