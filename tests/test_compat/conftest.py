"""A checkpoint that would run code, and a look whether it has."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


class Touch:
    """Pickles as a call that creates the file ``marker``."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f'touch {self.marker}',)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that exists once a payload has run; checked at the end."""
    path = tmp_path / 'marker'
    yield path
    assert not path.exists(), 'the payload ran'


@pytest.fixture
def bad(tmp_path: Path, marker: Path) -> str:
    """A checkpoint with weights for `Net`, and a payload."""
    path = tmp_path / 'bad.pth'
    state = {'linear.weight': torch.ones(1, 2), 'linear.bias': torch.ones(1)}
    torch.save({'state_dict': state, 'meta': Touch(marker)}, path)
    return str(path)


@pytest.fixture
def touch() -> type[Touch]:
    """The class of payloads: an instance touches the file it is given."""
    return Touch
