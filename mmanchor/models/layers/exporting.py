"""Whether torch is exporting or compiling a graph, which should fit every size."""

import torch

# `torch.compiler.is_exporting` is newer than the oldest torch we support.
is_exporting = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)
