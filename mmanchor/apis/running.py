"""What training and testing share: from a config to a runner."""
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .errors import UserError
from .files import make_folder
from .launch import prepare_launch


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, in as many processes as were launched.

    Args:
        cfg: A config with ``work_dir`` and ``launcher``.

    Returns:
        The runner, its model built.

    Raises:
        UserError: If the work folder cannot be written to, the launcher did
            not start this process, or a ``type`` is unknown.
    """
    make_folder(cfg.work_dir, '--work-dir')
    prepare_launch(cfg)
    try:
        if 'runner_type' in cfg:
            return RUNNERS.build(cfg)
        return Runner.from_cfg(cfg)
    except KeyError as error:
        # MMEngine's way to say that a type is not registered.
        if 'is not in the' not in str(error):
            raise
        raise UserError(f'the config {cfg.filename} cannot be built: '
                        f'{error.args[0]}') from error
