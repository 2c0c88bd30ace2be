"""The checks that `train` and `test` run before their first iteration."""

import logging
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.logging import print_log

from ..utils.config import TOOLBOXES
from ..utils.errors import UserError
from ..utils.launchers import rank_and_size
from .check import check_data
from .classification import compare_splits
from .recipe import check_recipe
from .report import Problem, SplitReport
from .sources import data_sources

# Files of each data set that are read; `mmanchor check-data` reads all. Training
# skips single bad files, but the first one ends a validation or a test.
_NUM_TRAIN = 64
_NUM_TEST = 1000
_HOOKS = ('SkippedImagesHook', 'SkippedPicturesHook')


def check_before_training(cfg: Config) -> list[str]:
    """Find what is wrong with data and recipe; stop where training fails.

    Args:
        cfg: The config of a training; unreadable files will be skipped and
            counted by :class:`~mmanchor.engine.hooks.SkippedImagesHook`,
            which is added to the hooks.

    Returns:
        What :func:`log_warnings` is to say.

    Raises:
        UserError: If training would fail, or learn something wrong.
    """
    _require_transforms(cfg, ['train'] if cfg.get('val_cfg') is None else ['train', 'val'])
    reports = check_data(cfg, ['train'], _NUM_TRAIN)
    if cfg.get('val_cfg') is not None:
        reports += check_data(cfg, ['val'], _NUM_TEST)
        compare_splits(data_sources(cfg, ['train', 'val']), reports[-1])
    return _finish(cfg, [*reports, check_recipe(cfg, reports)])


def check_before_testing(cfg: Config) -> list[str]:
    """Find what is wrong with the test data; stop where scores would lie.

    Args:
        cfg: The config of a test; a file that cannot be read will be an error
            that names it.

    Returns:
        What :func:`log_warnings` is to say.

    Raises:
        UserError: If scoring would fail, or score something wrong.
    """
    _require_transforms(cfg, ['test'])
    reports = check_data(cfg, ['test'], _NUM_TEST)
    recipe = cfg.copy()
    # What it says about training matters to nobody who tests.
    recipe.train_dataloader = None
    return _finish(cfg, [*reports, check_recipe(recipe, reports)])


def log_warnings(cfg: Config, texts: Sequence[str]) -> None:
    """Warn, in the first of several processes.

    Args:
        cfg: The config of the run, with ``launcher``.
        texts: What a check returned.
    """
    if rank_and_size(cfg.get('launcher', 'none'))[0] == 0:
        for text in texts:
            print_log(text, logger='current', level=logging.WARNING)


def _require_transforms(cfg: Config, splits: Sequence[str]) -> None:
    """Refuse a data set whose images nothing loads, neither it nor a wrapper."""
    for source in data_sources(cfg, splits):
        # A class of the user's own may load what it gives.
        if source.pipeline or source.cls.__module__.split('.')[0] not in (*TOOLBOXES, 'mmanchor'):
            continue
        raise UserError(
            f'{source.split}_dataloader.dataset.pipeline of {cfg.filename} must be a list of '
            f'transforms, which load the images of {source.cls.__name__} and pack them, got none'
        )


def _finish(cfg: Config, reports: Sequence[SplitReport]) -> list[str]:
    """The problems in one line each; the run will name unreadable files."""
    found = [(report, problem) for report in reports for problem in report.problems]
    fatal = [_line(*pair) for pair in found if pair[1].fatal]
    if fatal:
        hint = '' if len(fatal) == 1 else f'\n({len(fatal)} problems)'
        raise UserError('\n'.join(fatal) + hint)
    texts = [_line(*pair) for pair in found]
    texts += [note for report in reports if not report.splits for note in report.notes]
    default = cfg.get('default_hooks')
    hooks = [
        *(cfg.get('custom_hooks') or ()),
        *(dict(default).values() if isinstance(default, dict) else ()),
    ]
    types = [str(hook.get('type')) for hook in hooks if isinstance(hook, dict)]
    if not any(name.endswith(_HOOKS) for name in types):
        hook = dict(type='mmanchor.SkippedImagesHook')
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]
    return texts


def _line(report: SplitReport, problem: Problem) -> str:
    """A problem in one line, with the place where it was found."""
    if not report.splits:
        return f'config: {problem.in_one_line()}'
    place = f' ({report.places[0]})' if report.places else ''
    return f'{" and ".join(report.splits)} data{place}: {problem.in_one_line()}'
