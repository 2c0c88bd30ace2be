import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmanchor.engine.samplers import SeededSampler
from mmanchor.engine.samplers.seeded_sampler import SeededIndex


class Noise(torch.utils.data.Dataset):
    """Samples that draw from every generator."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        assert type(index) is int
        return (index, random.random(), np.random.rand(), torch.rand(()).item())


def batches(number, sampler_type='InfiniteSampler', skipped=0, **options):
    data = Noise()
    sampler = SeededSampler(dict(type=sampler_type), data, seed=1)
    sampler.restart(1, skipped)
    loader = iter(DataLoader(data, 2, sampler=sampler, collate_fn=list, **options))
    return [next(loader) for _ in range(number)]


def test_sample_depends_on_its_number_only():
    first = batches(4)
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    assert batches(4) == first
    assert batches(4, num_workers=1) == first


def test_skipping_passes_over_samples():
    assert batches(2, skipped=4) == batches(4)[2:]


def test_same_index_is_augmented_anew():
    drawn = [sample for batch in batches(8) for sample in batch]
    noise = {sample[1:] for sample in drawn}
    assert len(noise) == 16 and len({sample[0] for sample in drawn}) == 5


def test_epochs_differ_and_repeat():
    data = Noise()
    sampler = SeededSampler(dict(type='DefaultSampler'), data, seed=1)
    loader = DataLoader(data, 2, sampler=sampler, collate_fn=list)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        epochs.append(list(loader))
    assert epochs[0] == epochs[2] != epochs[1] and len(sampler) == 5


def test_sampler_that_ends_cannot_skip():
    sampler = SeededSampler(dict(type='DefaultSampler'), Noise(), seed=1)
    with pytest.raises(ValueError, match=r'skipped must be 0 .* got 3'):
        sampler.restart(1, 3)


def test_index_keeps_its_seed_on_the_way_to_a_worker():
    index = pickle.loads(pickle.dumps(SeededIndex.make(3, 2**31)))
    assert (index, index.seed) == (3, 2**31)
