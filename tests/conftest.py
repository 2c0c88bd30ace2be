"""Fixtures for every test: a fixed seed, and a helper for scopes."""
import pytest
import torch

import mmanchor  # noqa: F401  (the compatibility layer comes first)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)
