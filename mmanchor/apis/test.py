"""Scoring a checkpoint by a config."""

from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process

from ..compat.trust import trust_checkpoint as trust_file
from ..data_check.preflight import check_before_testing, log_warnings
from ..data_check.sources import data_sources, require_data
from ..engine.checkpoints import TRAINING_ONLY, read_checkpoint
from ..engine.choose_checkpoint import choose_checkpoint
from ..engine.hooks import ClassGuard, SaveDrawingsHook, WeightsGuard
from ..engine.runner import build_runner
from ..reports.reporting import Reporting
from ..runtime.sessions import is_exported
from ..utils.config import building, require_model, toolbox
from ..utils.config_types import require_types
from ..utils.errors import UserError
from ..utils.files import PathLike, make_folder, require_file_path, write_json
from .test_exported import scorer_of

TRAINING_KEYS = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
METRICS_FILE = 'test_metrics.json'
_DRAWING_HOOKS = dict(mmseg='SegVisualizationHook', mmdet='DetVisualizationHook')


def test_model(
    cfg: Config,
    checkpoint: PathLike,
    out: PathLike | None = None,
    show: bool = False,
    show_dir: PathLike | None = None,
    wait_time: float = 2,
    tta: bool = False,
    trust_checkpoint: bool = False,
    verbose: bool = False,
    report: PathLike | None = None,
) -> dict[str, Any]:
    """Score a checkpoint on the test split of a config.

    The scores are also written to ``test_metrics.json`` in the work folder.

    Args:
        cfg: What :func:`~mmanchor.utils.config.load_config` returned; changed
            in place.
        checkpoint: The weights; they must be those of the config's model. Or a
            file of ``mmanchor export``, which the runtime runs. Also
            ``'latest'`` or ``'best'`` of the work folder, or a
            ``last_checkpoint``, which is followed.
        out: Where to keep predictions: a folder of masks for segmentation
            (classes from 0, or from 1 if the data set has
            ``reduce_zero_label``), for detection a ``.pkl`` file of mmdet's
            results, or a ``.bbox.json`` file of COCO's, for classification a
            ``.pkl`` file of mmpretrain's.
        show: Show every prediction in a window.
        show_dir: Folder for drawn predictions.
        wait_time: How long a window stays (seconds).
        tta: Average over the views of the config's ``tta_pipeline``.
        trust_checkpoint: Read the checkpoint even if it may run code.
        verbose: Print what is otherwise in the log file only, such as the config.
        report: Folder for a page on what the model gets right and wrong, and
            for what it is made from.

    Returns:
        Names of the metrics and their values.

    Raises:
        UserError: If the data, the checkpoint or what an option needs is
            missing, the checkpoint is of another model or of other classes, or
            the config cannot be built.
    """
    require_types(cfg)
    require_model(cfg)
    exported = is_exported(checkpoint)
    # A mistyped name is said before the data, which may be missing too.
    path = '' if exported else choose_checkpoint(checkpoint, 'CHECKPOINT', cfg.work_dir)
    _require_test(cfg)
    if exported and tta:
        raise UserError('--tta needs a checkpoint; an exported file sees each image once')
    cfg.load_from = None if exported else _weights(path, trust_checkpoint)
    cfg.resume = False
    if show or show_dir:
        _draw(cfg, show, show_dir, wait_time)
    if out is not None:
        _keep_predictions(cfg, Path(out))
    warnings = check_before_testing(cfg)
    reporting = Reporting(report, cfg, cfg.load_from or str(checkpoint))
    if tta:
        _use_tta(cfg)
    # Hooks that ask for the iteration would make MMEngine build these, and
    # so look for training data.
    cfg.update(dict.fromkeys(TRAINING_KEYS))
    try:
        runner = build_runner(cfg, verbose)
    finally:
        log_warnings(cfg, warnings)
    with building(cfg):
        runner.test_loop  # noqa: B018  (MMEngine builds data and metrics late)
    reporting.attach(runner)
    if exported:
        meta = getattr(runner.test_dataloader.dataset, 'metainfo', {})
        runner.model = scorer_of(checkpoint, cfg, meta.get('classes') or ())
    else:
        runner.register_hook(WeightsGuard(cfg.load_from, TRAINING_ONLY))
        runner.register_hook(ClassGuard(cfg.load_from))
    if show_dir and toolbox(cfg) == 'mmseg':
        runner.register_hook(SaveDrawingsHook(show_dir))
    metrics = {name: _plain(value) for name, value in runner.test().items()}
    if is_main_process():
        said = dict(config=str(cfg.filename), checkpoint=cfg.load_from or str(checkpoint), tta=tta)
        write_json(Path(runner.work_dir, METRICS_FILE), dict(said, metrics=metrics))
        reporting.write(metrics)
    return metrics


def _require_test(cfg: Config) -> None:
    """Refuse a config without a test, or without its data."""
    for key in ('test_dataloader', 'test_cfg', 'test_evaluator'):
        if cfg.get(key) is None:
            raise UserError(f'the config {cfg.filename} has no {key}, so there is nothing to test')
    require_data(cfg, ['test'])


def _weights(path: str, trust_checkpoint: bool) -> str:
    """The file of weights, or its address."""
    if trust_checkpoint:
        trust_file(path)
    if '://' in path:
        # Kept by the download, so that an address that does not answer ends here.
        read_checkpoint(path)
    return path


def written_predictions(cfg: Config) -> list[str]:
    """What the evaluators of a test wrote in place of scores, or beside them.

    Args:
        cfg: A config that was tested.

    Returns:
        Sentences; none if no evaluator writes predictions.
    """
    said = []
    for each in _evaluators(cfg):
        place = each.get('output_dir') or each.get('outfile_prefix')
        if not place:
            continue
        text = f'predictions are in {place}'
        if each.get('outfile_prefix'):
            text += '.*.json'
        if str(each.get('type')).endswith('IoUMetric'):
            text += f', {_mask_values(cfg)}'
        if each.get('format_only'):
            text += ' (test_evaluator.format_only: nothing is scored)'
        said.append(text)
    return said


def _mask_values(cfg: Config) -> str:
    """What IoUMetric's masks hold, which depends on the data set."""
    if any(source.get('reduce_zero_label') for source in data_sources(cfg, ['test'])):
        return (
            'class indices from 1 as in the data (reduce_zero_label); those of mmanchor predict '
            'count from 0'
        )
    return 'class indices from 0'


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch as plain ones, without float32's noise."""
    value = value.tolist() if hasattr(value, 'tolist') else value
    return round(value, 5) if isinstance(value, float) else value


def _draw(cfg: Config, show: bool, show_dir: PathLike | None, wait_time: float) -> None:
    """Switch the toolbox's visualization hook on, for every image."""
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    scope = toolbox(cfg)
    if hook is None:
        name = _DRAWING_HOOKS.get(scope, 'VisualizationHook')
        raise UserError(
            '--show and --show-dir need default_hooks.'
            f'visualization=dict(type={name!r}) in the config'
        )
    folder = make_folder(show_dir, '--show-dir').absolute() if show_dir else None
    # mmseg's own hook cannot show and write at once: SaveDrawingsHook writes.
    hook['enable' if scope == 'mmpretrain' else 'draw'] = show or scope != 'mmseg'
    if show:
        # Less than nothing would wait for ever.
        if not wait_time >= 0:
            raise UserError(f'--wait-time must be 0 (until a key) or more, got {wait_time}')
        hook.show = True
        hook.wait_time = wait_time
    if scope in ('mmpretrain', 'mmseg'):
        hook.interval = 1
    if folder and scope == 'mmpretrain':
        hook.out_dir = str(folder)
    elif folder and scope == 'mmdet':
        # An absolute path, or mmdet would put it below the work folder.
        hook.test_out_dir = str(folder)


def _evaluators(cfg: Config) -> list[ConfigDict]:
    """The evaluators of the test, as a list that the config holds."""
    if not isinstance(cfg.test_evaluator, (list, tuple)):
        cfg.test_evaluator = [cfg.test_evaluator]
    cfg.test_evaluator = list(cfg.test_evaluator)
    return cfg.test_evaluator


def _keep_predictions(cfg: Config, out: Path) -> None:
    """Make the evaluators write predictions to ``out``."""
    scope = toolbox(cfg)
    if scope == 'mmseg':
        metric = _evaluator(cfg, 'IoUMetric', 'which writes the masks')
        metric.output_dir = str(make_folder(out, '--out'))
    elif scope == 'mmdet':
        require_file_path(out, '--out')
        if out.name.endswith('.bbox.json'):
            metric = _evaluator(cfg, 'CocoMetric', 'which writes the boxes')
            metric.outfile_prefix = str(out)[: -len('.bbox.json')]
        elif out.suffix in ('.pkl', '.pickle'):
            _evaluators(cfg).append(ConfigDict(type='DumpDetResults', out_file_path=str(out)))
        else:
            raise UserError(f'--out must be a .pkl or a .bbox.json file for mmdet, got {out}')
    elif scope == 'mmpretrain':
        if out.suffix not in ('.pkl', '.pickle'):
            raise UserError(f'--out must be a .pkl file for mmpretrain, got {out}')
        require_file_path(out, '--out')
        _evaluators(cfg).append(ConfigDict(type='DumpResults', out_file_path=str(out)))
    else:
        raise UserError(f'--out is not supported for {scope} configs')


def _evaluator(cfg: Config, name: str, what: str) -> ConfigDict:
    """The evaluator of a name, which ``--out`` needs for its purpose."""
    for each in _evaluators(cfg):
        if str(each.get('type')).endswith(name):
            return each
    raise UserError(f'--out needs {name} in test_evaluator, {what}')


def _use_tta(cfg: Config) -> None:
    """Wrap the model and change the pipeline for test-time augmentation."""
    missing = [key for key in ('tta_model', 'tta_pipeline') if cfg.get(key) is None]
    if missing:
        raise UserError(
            f'--tta needs {" and ".join(missing)} in the config '
            f'{cfg.filename}; see the base configs of the '
            'toolbox for an example'
        )
    for dataset in _innermost(cfg.test_dataloader.dataset):
        dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def _innermost(dataset: ConfigDict) -> list[ConfigDict]:
    """The data sets inside of wrappers and concatenations, which have pipelines."""
    if 'pipeline' in dataset:
        return [dataset]
    if 'datasets' in dataset:
        return [each for part in dataset.datasets for each in _innermost(part)]
    return _innermost(dataset.dataset) if 'dataset' in dataset else [dataset]
