"""Marks for what not every torch that mmanchor runs on can do."""

import pytest
import torch
from packaging.version import Version

exports_open_sizes = pytest.mark.skipif(
    Version(torch.__version__) < Version('2.10'),
    reason='torch.export before 2.10 cannot keep padded sizes open',
)
weights_only_by_default = pytest.mark.skipif(
    Version(torch.__version__) < Version('2.6'), reason='torch.load trusts every file before 2.6'
)
