"""Random views of unlabeled images, the same in every run."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..utils.errors import UserError
from ..utils.images import UnreadableImageError, read_image
from ..utils.inputs import IMAGE_SUFFIXES, open_input

# Part of an image's area that a view shows, and its aspect ratio.
AREA = (0.35, 1.0)
ASPECT = (3 / 4, 4 / 3)


class RandomViews(Dataset):
    """View number i of a folder of images: a random crop, resized, maybe flipped.

    A view depends on the seed and its number alone, so that a run that is
    resumed, or spread over processes, sees the same views.

    Args:
        images: A folder, which is searched through, a pattern, or a list of
            them and of image files.
        size: (H, W) of the views, in pixels.
        seed: Another seed gives other views.

    Raises:
        UserError: If there are no images.
    """

    def __init__(self, images: Any, size: tuple[int, int], seed: int | str = 0) -> None:
        source = open_input(images)
        if source.clips or not source.paths:
            raise UserError(
                f'images={images!r} must be a folder of images or a list of files '
                f'({", ".join(IMAGE_SUFFIXES)})'
            )
        self.paths: list[Path] = source.paths
        self.size = size
        self.seed = seed

    def __getitem__(self, index: int) -> Tensor:
        """The view, (3, H, W) uint8, RGB."""
        draw = random.Random(f'{self.seed},{index}')
        path = self.paths[draw.randrange(len(self.paths))]
        try:
            image = Image.fromarray(np.ascontiguousarray(read_image(path)[..., ::-1]))
        except UnreadableImageError as error:
            raise UserError(f'{path} cannot be read: {error}; remove it from the images') from None
        left, top, width, height = _random_box(draw, *image.size)
        view = image.resize(
            self.size[::-1],
            Image.Resampling.BICUBIC,
            box=(left, top, left + width, top + height),
            reducing_gap=2.0,
        )
        if draw.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(view)).permute(2, 0, 1).contiguous()

    def __getitems__(self, indices: list[int]) -> list[Tensor]:
        """Several views; torch's loaders would ask for a length otherwise."""
        return [self[index] for index in indices]

    def batches(
        self,
        first: int,
        last: int,
        batch_size: int,
        workers: int = 0,
        part: tuple[int, int] = (0, 1),
    ) -> Iterator[Tensor]:
        """The views of some steps.

        Args:
            first: The first step.
            last: The step after the last.
            batch_size: Views of a step, in each process.
            workers: Processes that read; 0 reads in this one.
            part: Rank of this process, and number of processes.

        Yields:
            (batch_size, 3, H, W) uint8 of each step.
        """
        rank, world = part
        starts = ((step * world + rank) * batch_size for step in range(first, last))
        numbers = [list(range(start, start + batch_size)) for start in starts]
        yield from DataLoader(self, batch_sampler=numbers, num_workers=workers)  # type: ignore[arg-type]


def _random_box(draw: random.Random, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a random part of an image."""
    for _ in range(10):
        area = width * height * draw.uniform(*AREA)
        aspect = math.exp(draw.uniform(*map(math.log, ASPECT)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            break
    else:
        w = h = min(width, height)
    return draw.randint(0, width - w), draw.randint(0, height - h), w, h
