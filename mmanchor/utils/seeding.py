"""Random numbers that depend on where training is, not on its past."""

import random

import numpy as np
import torch


def mix_seed(*parts: int) -> int:
    """One seed from several numbers, well spread.

    Args:
        parts: Non-negative numbers, such as a run's seed and an iteration.

    Returns:
        A number below 2**32; other parts give another one.
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def seed_cpu(seed: int) -> None:
    """Seed the generators of Python, numpy and torch's CPU.

    Args:
        seed: A number below 2**32.
    """
    random.seed(seed)
    np.random.seed(seed)
    # Not torch.manual_seed: it also queues a seed for CUDA, which a worker
    # process may not touch.
    torch.default_generator.manual_seed(seed)
