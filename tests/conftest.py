"""Fixtures for every test: a fixed seed, and tiny projects to run."""
from pathlib import Path

import pytest
import tiny_project
import torch

import mmanchor  # noqa: F401  (the compatibility layer comes first)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def plain_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the text of configs as it is: yapf takes most of a tiny run."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **_:
                        (text, True))


@pytest.fixture(scope='session')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, ``seg.py`` and ``det.py``; only read it."""
    root = tmp_path_factory.mktemp('tiny')
    data = tiny_project.make_data(root / 'data')
    tiny_project.write_config(root, tiny_project.SEGMENTATION, data, 'seg')
    tiny_project.write_config(root, tiny_project.DETECTION, data, 'det')
    return root
