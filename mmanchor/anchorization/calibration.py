"""Images that show a model what its tokens are like."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope

from ..utils.errors import UserError
from ..utils.files import PathLike
from ..utils.inputs import IMAGE_SUFFIXES, open_input

# Enough for clusters of tokens, and seconds of work.
MAX_IMAGES = 64
BATCH_SIZE = 8


def images_of_folder(folder: PathLike, cfg: Config) -> Iterator[dict[str, Any]]:
    """Batches of images, prepared as the config's test pipeline does.

    Args:
        folder: A folder of images, searched through, or an image. Of more
            than :data:`MAX_IMAGES` as many are taken, spread evenly over
            their sorted names.
        cfg: A config with ``test_dataloader.dataset.pipeline``.

    Yields:
        Batches as a loader of MMEngine gives them.

    Raises:
        UserError: If there is no image, or one cannot be read.
    """
    source = open_input(str(folder))
    if source.clips:
        raise UserError(
            f'{folder} is a video; give a folder of images ({", ".join(IMAGE_SUFFIXES)})'
        )
    count = min(len(source.paths), MAX_IMAGES)
    paths = [source.paths[int(i)] for i in torch.linspace(0, len(source.paths) - 1, count)]
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
    batch: list[dict[str, Any]] = []
    for path in paths:
        try:
            batch.append(pipeline(dict(img_path=str(path))))
        # An image file may be anything.
        except Exception as error:
            raise UserError(
                f'{path} cannot be read as an image by the test pipeline of '
                f'{cfg.filename} ({type(error).__name__}: {error}); remove '
                'it, or give another folder'
            ) from error
        if len(batch) == BATCH_SIZE or path is paths[-1]:
            yield pseudo_collate(batch)
            batch = []
