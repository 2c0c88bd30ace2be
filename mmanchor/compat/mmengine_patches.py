"""What is changed in MMEngine, and why: one entry of :data:`PATCHES` each.

The patches replace functions inside MMEngine's own modules right after these
are imported. Nothing outside of MMEngine changes here: ``torch.load`` stays as
it is, but for one error that :mod:`.toolboxes.torch_load` answers.
"""

import io
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from types import ModuleType
from typing import Any

from ..utils.config_files import PREFIX, config_path
from ..utils.files import replacing
from .after_import import after_import
from .checkpoints import asked_for, load_checkpoint, load_url
from .errors import CheckpointError, NotSavedError, UnsafeCheckpointError
from .resume import resuming
from .trust import is_trusted

CHECKPOINT_MODULE = 'mmengine.runner.checkpoint'


@dataclass(frozen=True)
class Patch:
    """One change of MMEngine.

    Args:
        module: The module to change once it is imported.
        apply: Takes the module.
        symptom: What goes wrong without it.
        versions: Versions of MMEngine that have the fault.
        upstream: Where it was reported, or where the code came from.
    """

    module: str
    apply: Callable[[ModuleType], None]
    symptom: str
    versions: str
    upstream: str


def _load_checkpoints(module: ModuleType) -> None:
    loader = module.CheckpointLoader

    def load_from_local(filename: str, map_location: Any) -> Any:
        path = os.path.expanduser(filename)
        if not os.path.isfile(path):
            raise FileNotFoundError(f'{path} can not be found.')
        return load_checkpoint(path, map_location)

    def load_from_ceph(filename: str, map_location: Any = None, backend: str = 'petrel') -> Any:
        storage = module.get_file_backend(filename, backend_args={'backend': backend})
        return load_checkpoint(io.BytesIO(storage.get(filename)), map_location)

    def load_from_pavi(filename: str, map_location: Any = None) -> Any:
        from pavi import modelcloud

        model = modelcloud.get(filename.removeprefix('pavi://'))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, model.name)
            model.download(path)
            return load_checkpoint(path, map_location)

    def load_from_openmmlab(filename: str, map_location: Any = None) -> Any:
        name = filename.partition('://')[2]
        name = module.get_deprecated_model_names().get(name, name)
        where = module.get_external_models()[name]
        if '://' in where:
            return module.load_from_http(where, map_location=map_location)
        return load_from_local(os.path.join(module._get_mmengine_home(), where), map_location)

    module.load_url = load_url
    for prefixes, function in (
        ('', load_from_local),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_ceph),
        ('pavi://', load_from_pavi),
        (('open-mmlab://', 'openmmlab://'), load_from_openmmlab),
    ):
        setattr(module, function.__name__, function)
        loader.register_scheme(prefixes, function, force=True)


def _name_checkpoints(module: ModuleType) -> None:
    loader = module.CheckpointLoader
    original = loader.load_checkpoint.__func__

    @wraps(original)
    def load_named(cls: type, filename: str, *args: Any, **kwargs: Any) -> Any:
        with asked_for(str(filename)):
            try:
                return original(cls, filename, *args, **kwargs)
            except (KeyError, ImportError) as error:
                # A name that no model zoo has, or a storage without its package.
                if '://' not in str(filename):
                    raise
                raise CheckpointError(
                    f'{filename} cannot be loaded: {type(error).__name__}: {error}'
                ) from error

    loader.load_checkpoint = classmethod(load_named)


def _save_checkpoints(module: ModuleType) -> None:
    original = module.save_checkpoint

    @wraps(original)
    def save_checkpoint(checkpoint: dict, filename: str, *args: Any, **kwargs: Any) -> None:
        if str(filename).endswith('.safetensors'):
            from .safetensors_files import save_safetensors

            return save_safetensors(checkpoint, filename)
        is_local = '://' not in str(filename)
        if not is_local or any(args) or any(kwargs.values()):
            return original(checkpoint, filename, *args, **kwargs)
        try:
            # A run killed while saving leaves no half file under this name.
            with replacing(filename) as temporary:
                original(checkpoint, str(temporary))
        except OSError as error:
            raise NotSavedError(error, str(filename)) from error

    module.save_checkpoint = save_checkpoint


def _use_patched_saving(module: ModuleType) -> None:
    # Modules imported before mmanchor hold the function by its own name.
    module.save_checkpoint = sys.modules[CHECKPOINT_MODULE].save_checkpoint


def _patch_runner(module: ModuleType) -> None:
    _use_patched_saving(module)
    _check_resumed(module.Runner)


def _check_resumed(runner: type) -> None:
    original = runner.resume

    @wraps(original)
    def resume(self: Any, *args: Any, **kwargs: Any) -> Any:
        with resuming(checkpoint_folder(self)) as resumed:
            result = original(self, *args, **kwargs)
        for note in resumed.notes:
            self.logger.warning(note)
        return result

    runner.resume = resume


def checkpoint_folder(runner: Any) -> str:
    """Where a runner keeps its checkpoints, as its hook will say.

    Args:
        runner: MMEngine's ``Runner`` or ``FlexibleRunner``.
    """
    from mmengine.hooks import CheckpointHook

    work_dir = str(runner.work_dir)
    for hook in runner.hooks:
        folder = getattr(hook, 'out_dir', None) if isinstance(hook, CheckpointHook) else None
        if folder and folder != work_dir:
            return os.path.join(folder, os.path.basename(work_dir.rstrip(os.sep)))
    return work_dir


def _remove_old_after_saving(module: ModuleType) -> None:
    hook = module.CheckpointHook
    original = hook._save_checkpoint_with_step

    @wraps(original)
    def save_checkpoint_with_step(self: Any, runner: Any, step: int, meta: dict) -> None:
        old = None
        if self.max_keep_ckpts > 0 and len(self.keep_ckpt_ids) == self.max_keep_ckpts:
            # Not there for MMEngine to remove, unless it is about to be written again.
            old = None if self.keep_ckpt_ids[-1] == step else self.keep_ckpt_ids.popleft()
        original(self, runner, step, meta)
        if old is not None and module.is_main_process():
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):
                self.file_backend.rmtree(path)

    hook._save_checkpoint_with_step = save_checkpoint_with_step


def _do_not_run_configs(module: ModuleType) -> None:
    inferencer = module.BaseInferencer
    original = inferencer._init_model

    @wraps(original)
    def init_model(self: Any, cfg: Any, weights: str | None, device: str = 'cpu') -> Any:
        if not cfg and not is_trusted(weights):
            raise UnsafeCheckpointError(
                weights,
                'to run the config inside it, because no config was given (pass one as the '
                'argument model)',
            )
        return original(self, cfg, weights, device)

    inferencer._init_model = init_model


def _resolve_our_configs(module: ModuleType) -> None:
    original = module.Config._get_cfg_path

    @wraps(original)
    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(PREFIX):
            # No registry scope: our configs are in that of their default_scope.
            return config_path(cfg_path), None
        return original(cfg_path, filename)

    module.Config._get_cfg_path = staticmethod(get_cfg_path)


MMENGINE = 'https://github.com/open-mmlab/mmengine'
CONFIG_PATCH = Patch(
    'mmengine.config.config',
    _resolve_our_configs,
    "_base_ = 'mmanchor::...' is unknown: MMEngine has a fixed table of packages, and looks for "
    'files below the distribution, where an editable install has none',
    'all',
    f'{MMENGINE}/pull/1676',
)
PATCHES = (
    CONFIG_PATCH,
    Patch(
        CHECKPOINT_MODULE,
        _load_checkpoints,
        'a checkpoint runs the code in it (torch before 2.6, and the onedl fork, which falls back '
        'to it), or does not load at all, as HistoryBuffer is not in the list of torch 2.6',
        'all',
        f'{MMENGINE}/issues/1655',
    ),
    Patch(
        CHECKPOINT_MODULE,
        _name_checkpoints,
        'an unknown name of a model zoo, or a storage without its package, is a bare KeyError or '
        'ImportError, and errors name a temporary file instead of the address',
        'all',
        f'{MMENGINE}/issues/94',
    ),
    Patch(
        CHECKPOINT_MODULE,
        _save_checkpoints,
        'a run killed while saving leaves a torn file; .safetensors are unknown',
        'all',
        f'{MMENGINE}/issues/94',
    ),
    Patch(
        'mmengine.runner.runner',
        _patch_runner,
        'resuming runs the text of a config as Python, deletes what the file calls its best '
        'checkpoint, and copies all text into the checkpoints of the run',
        'all',
        'https://github.com/open-mmlab/mmcv/pull/844, ' + f'{MMENGINE}/pull/1168',
    ),
    Patch(
        'mmengine.runner._flexible_runner',
        lambda module: _check_resumed(module.FlexibleRunner),
        'the same',
        'all',
        'https://github.com/open-mmlab/mmcv/pull/844',
    ),
    Patch(
        'mmengine.runner',
        _use_patched_saving,
        'code that imported save_checkpoint before mmanchor keeps the original',
        'all',
        'none: a matter of mmanchor alone',
    ),
    Patch(
        'mmengine.hooks.checkpoint_hook',
        _remove_old_after_saving,
        'max_keep_ckpts=1: the old checkpoint is removed before the new one is written, so a run '
        'killed in between has none',
        'all',
        f'{MMENGINE}/issues/1165',
    ),
    Patch(
        'mmengine.infer.infer',
        _do_not_run_configs,
        'an inferencer without a config runs the one in the checkpoint as Python',
        'all',
        f'{MMENGINE}/pull/864',
    ),
)


def install() -> None:
    """Apply each patch as soon as its module is imported."""
    for patch in PATCHES:
        after_import(patch.module, patch.apply)
