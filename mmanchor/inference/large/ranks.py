"""The processes that share one image: one, or those of ``torchrun``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...utils.errors import UserError


class Ranks:
    """One process alone.

    Attributes:
        rank: Number of this process.
        count: How many there are.
        bytes_sent: Bytes of the sums that this process gave to the others.
    """

    rank = 0
    count = 1
    bytes_sent = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes what belongs to all."""
        return self.rank == 0

    def share(self, items: list[Any]) -> list[Any]:
        """The neighboring items that are this process's."""
        first, last = (len(items) * i // self.count for i in (self.rank, self.rank + 1))
        return items[first:last]

    def add_up(self, x: Tensor) -> None:
        """Add up a tensor over the processes, in place."""

    def gather(self, value: Any) -> list[Any]:
        """What each process has."""
        return [value]

    def wait(self) -> None:
        """Until all processes are here."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let an error of one process inside be one of all, so that none waits for it.

        Raises:
            UserError: This process's, or the first one of the others.
        """
        own = None
        try:
            yield
        except UserError as error:
            own = error
        errors = [each for each in self.gather(None if own is None else str(own)) if each]
        if errors:
            raise own or UserError(errors[0])


class DistributedRanks(Ranks):
    """The processes of a group of ``torch.distributed``, which has been started."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def add_up(self, x: Tensor) -> None:
        """Add up a tensor over the processes, in place."""
        dist.all_reduce(x)
        self.bytes_sent += x.numel() * x.element_size()

    def gather(self, value: Any) -> list[Any]:
        """What each process has."""
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        dist.barrier()


def find_ranks() -> Ranks:
    """This process alone, or the processes that ``torchrun`` started with it."""
    if int(os.environ.get('WORLD_SIZE', 1)) == 1:
        return Ranks()
    if not dist.is_initialized():
        dist.init_process_group('nccl' if torch.cuda.is_available() else 'gloo')
    return DistributedRanks()
