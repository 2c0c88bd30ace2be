"""Experiment trackers: TensorBoard, Weights & Biases, MLflow and ClearML."""

import os
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ..utils.errors import UserError

# Name, which is that of the package and of our extra -> class of MMEngine.
TRACKERS = {
    'tensorboard': 'TensorboardVisBackend',
    'wandb': 'WandbVisBackend',
    'mlflow': 'MLflowVisBackend',
    'clearml': 'ClearMLVisBackend',
}
# MMEngine's others, for which a config is needed: what to install.
OTHERS = {'aim': 'AimVisBackend', 'dvclive': 'DVCLiveVisBackend', 'neptune': 'NeptuneVisBackend'}


def use_trackers(cfg: Config, names: list[str] | tuple[str, ...] = ()) -> None:
    """Add trackers to the visualizer of a config, and check that all of its trackers start.

    Without an account of the user's, runs stay on this machine: Weights & Biases
    and ClearML are offline unless ``WANDB_MODE`` is set, or ``CLEARML_OFFLINE_MODE``,
    ``CLEARML_API_HOST`` or a ``~/clearml.conf`` is there.

    Args:
        cfg: A config with ``work_dir``; changed in place. A tracker that it has
            already stays as it is.
        names: Keys of :data:`TRACKERS`.

    Raises:
        UserError: If there is no such tracker, or its package is not installed.
    """
    unknown = [name for name in names if name not in TRACKERS]
    if unknown:
        raise UserError(f'--tracker must be one of {", ".join(TRACKERS)}, got {unknown[0]!r}')
    if names and not isinstance(cfg.get('visualizer'), dict):
        cfg.visualizer = ConfigDict(type='Visualizer')
    backends = (cfg.get('visualizer') or {}).get('vis_backends') or ()
    # MMEngine takes one alone, too.
    backends = [backends] if isinstance(backends, dict) else list(backends)
    present = _kinds(backends)
    backends += [_backend(cfg, name) for name in names if TRACKERS[name] not in present]
    if names:
        cfg.visualizer.vis_backends = backends
    used = _kinds(backends)
    for name, kind in {**TRACKERS, **OTHERS}.items():
        if kind in used and not _is_installed(name):
            what = f"'mmanchor[{name}]'" if name in TRACKERS else name
            raise UserError(f'the tracker {kind} needs the package {name}: pip install {what}')


def _kinds(backends: list) -> list[str]:
    """Names of the classes, without the scope that a config may write before them."""
    kinds = (each.get('type') for each in backends if isinstance(each, dict))
    return [str(getattr(kind, '__name__', kind)).rpartition('.')[2] for kind in kinds]


def _is_installed(package: str) -> bool:
    """Whether a package is there; a folder of runs of the same name, as wandb makes, is none."""
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def _backend(cfg: Config, name: str) -> ConfigDict:
    """The backend of a tracker, with the run's name and, without an account, offline."""
    run = Path(cfg.work_dir).name
    options: dict = {}
    if name == 'wandb':
        mode = os.environ.get('WANDB_MODE', 'offline')
        options['init_kwargs'] = dict(project='mmanchor', name=run, mode=mode)
    elif name == 'mlflow':
        # In a database: recent versions refuse plain folders.
        folder = Path(cfg.work_dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        address = os.environ.get('MLFLOW_TRACKING_URI', f'sqlite:///{folder / "mlflow.db"}')
        options.update(exp_name='mmanchor', run_name=run, tracking_uri=address)
        if 'MLFLOW_TRACKING_URI' not in os.environ:
            options['artifact_location'] = (folder / 'mlflow').as_uri()
    elif name == 'clearml':
        conf = os.environ.get('CLEARML_CONFIG_FILE', Path.home() / 'clearml.conf')
        if not os.environ.get('CLEARML_API_HOST') and not Path(conf).is_file():
            os.environ.setdefault('CLEARML_OFFLINE_MODE', '1')
        options['init_kwargs'] = dict(project_name='mmanchor', task_name=run)
    return ConfigDict(type=TRACKERS[name], **options)
