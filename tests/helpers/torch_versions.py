"""Marks for what not every torch that mmanchor runs on can do."""

import pytest
import torch
from packaging.version import Version

exports_open_sizes = pytest.mark.skipif(
    Version(torch.__version__) < Version('2.10'),
    reason='torch.export before 2.10 cannot keep padded sizes open',
)
