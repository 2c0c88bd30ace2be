"""Fixtures for every test: a fixed seed, and tiny projects to run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tiny_project
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from torch.multiprocessing.reductions import shared_cache

import mmanchor  # noqa: F401  (the compatibility layer comes first)

# Inputs are small, and threads that wait for a busy core cost far more than
# they give.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_scope_left_behind() -> None:
    # Runners and inferencers leave their scope as everybody's default.
    DefaultScope._instance_dict.clear()
    # And visualizers by their names, whatever toolbox they are of.
    for each in (Visualizer, *Visualizer.__subclasses__()):
        each._instance_dict.clear()


@pytest.fixture(scope='session', autouse=True)
def _quiet_exit() -> Iterator[None]:
    yield
    # Tensors that came from workers are freed here: while Python shuts down
    # torch cannot any more, and says so once for each.
    shared_cache.clear()


@pytest.fixture
def scope() -> Iterator[Callable[[Config], None]]:
    """Build as a runner would that read a config."""
    with ExitStack() as stack:
        yield lambda cfg: stack.enter_context(
            DefaultScope.overwrite_default_scope(cfg.default_scope)
        )


@pytest.fixture
def plain_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the text of configs as it is: yapf takes most of a tiny run."""
    # The fork of MMEngine imports the function when it needs it.
    for module in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):
        monkeypatch.setattr(f'{module}.FormatCode', lambda text, **_: (text, True), raising=False)


@pytest.fixture(scope='session')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and configs; only read it."""
    root = tmp_path_factory.mktemp('tiny')
    data = tiny_project.make_data(root / 'data')
    tiny_project.write_config(root, tiny_project.SEGMENTATION, data, 'seg')
    tiny_project.write_config(root, tiny_project.DETECTION, data, 'det')
    tiny_project.write_config(root, tiny_project.PICODET, data, 'picodet')
    return root


@pytest.fixture(scope='session')
def seg_checkpoint(tiny: Path) -> Path:
    """Random weights of the model of ``seg.py``, with class names."""
    from mmseg.apis import init_model

    torch.manual_seed(0)
    model = init_model(str(tiny / 'seg.py'), None, 'cpu')
    meta = dict(dataset_meta=dict(classes=tiny_project.CLASSES))
    return _save(model, meta, tiny / 's.pth')


@pytest.fixture(scope='session')
def det_checkpoint(tiny: Path) -> Path:
    """Random weights of the model of ``det.py``, without class names."""
    from mmdet.apis import init_detector

    torch.manual_seed(0)
    model = init_detector(str(tiny / 'det.py'), None, 'random', 'cpu')
    for name, parameter in model.bbox_head.named_parameters():
        if 'rtm_reg' in name:
            # Boxes that are not empty: this far from their points.
            torch.nn.init.ones_(parameter)
    return _save(model, {}, tiny / 'd.pth')


def _save(model: torch.nn.Module, meta: dict, path: Path) -> Path:
    torch.save(dict(meta=meta, state_dict=model.state_dict()), path)
    return path
