"""Images from which the initial anchors are computed."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope

from ..utils.errors import UserError
from ..utils.files import PathLike
from ..utils.inputs import IMAGE_SUFFIXES, open_input

# Enough tokens for clustering, within seconds.
MAX_IMAGES = 64
BATCH_SIZE = 8


def images_of_folder(folder: PathLike, cfg: Config) -> Iterator[dict[str, Any]]:
    """Load batches of images with the test pipeline of a config.

    Args:
        folder: A folder of images, searched recursively, or one image. If
            there are more than :data:`MAX_IMAGES`, that many are taken, evenly
            spread over their sorted names.
        cfg: A config with ``test_dataloader.dataset.pipeline``.

    Yields:
        Batches as from a data loader of MMEngine.

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
        # A broken file can raise any error.
        except Exception as error:
            raise UserError(
                f'{path} cannot be read as an image by the test pipeline of '
                f'{cfg.filename} ({type(error).__name__}: {error}); remove '
                'it, or give another folder'
            ) from error
        if len(batch) == BATCH_SIZE or path is paths[-1]:
            yield pseudo_collate(batch)
            batch = []
