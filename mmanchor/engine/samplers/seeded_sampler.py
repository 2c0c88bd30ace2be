"""Samples whose augmentation depends on their number only."""

from collections.abc import Iterator, Sequence, Sized
from itertools import count, islice
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from torch.utils.data import Sampler

from ...registry import DATA_SAMPLERS
from ...utils.seeding import mix_seed, seed_cpu


class SeededIndex(int):
    """An index of a data set together with the seed of the sample."""

    seed: int

    @classmethod
    def make(cls, index: int, seed: int) -> 'SeededIndex':
        """Build one; pickling to a worker keeps both numbers."""
        made = cls(index)
        made.seed = seed
        return made


class SeededFetch:
    """``dataset.__getitems__``: seed, then load, for each sample.

    Args:
        dataset: The data set whose samples are loaded.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[int]) -> list[Any]:
        """Load the samples."""
        samples = []
        for index in indices:
            if isinstance(index, SeededIndex):
                seed_cpu(index.seed)
            samples.append(self.dataset[int(index)])
        return samples


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Draws as another sampler does, and seeds each sample by its number.

    The n-th sample of a rank is then augmented in the same way whatever the
    number of workers and however often training was stopped in between.

    Args:
        sampler: Config of the sampler to draw with.
        dataset: The data set; its samples are fetched through
            :class:`SeededFetch` from now on.
        seed: Seed of order and augmentation; ``None`` draws one.
    """

    def __init__(self, sampler: dict[str, Any], dataset: Sized, seed: int | None = None) -> None:
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, _ = get_dist_info()
        self.epoch = 0
        self._cfg = dict(sampler)
        self._skipped = 0
        self._inner = self._build()
        dataset.__getitems__ = SeededFetch(dataset)

    @property
    def is_infinite(self) -> bool:
        """Whether it never ends, as iteration-based training wants it."""
        return isinstance(self._inner, InfiniteSampler)

    def restart(self, seed: int, skipped: int = 0) -> None:
        """Draw as if some samples had been drawn, from the next pass on.

        Args:
            seed: Seed of order and augmentation.
            skipped: Number of samples of this rank to skip; for an endless
                sampler only, as others start with every epoch.
        """
        if skipped and not self.is_infinite:
            raise ValueError(f'skipped must be 0 for a sampler that ends, got {skipped}')
        self.seed, self._skipped = seed, skipped
        self._inner = self._build()

    def _build(self) -> Sampler:
        """Build the sampler that draws."""
        inner = MMENGINE_DATA_SAMPLERS.build(
            dict(self._cfg), default_args=dict(dataset=self.dataset, seed=self.seed)
        )
        if hasattr(inner, 'set_epoch'):
            inner.set_epoch(self.epoch)
        return inner

    def __iter__(self) -> Iterator[SeededIndex]:
        """Draw indices, numbered through all epochs."""
        if self.is_infinite:
            first, drawn = self._skipped, self._build()
        else:
            first, drawn = self.epoch * len(self._inner), self._inner
        indices = islice(drawn, self._skipped, None)
        for number, index in zip(count(first), indices, strict=False):
            yield SeededIndex.make(index, mix_seed(self.seed, self.rank, number, 0))

    def __len__(self) -> int:
        """Number of samples of a pass of this rank."""
        return len(self._inner)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass.

        Args:
            epoch: Number of the epoch, from 0.
        """
        self.epoch = epoch
        if hasattr(self._inner, 'set_epoch'):
            self._inner.set_epoch(epoch)
