"""The steps that the demos share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import cv2
import numpy as np
from mmengine.config import Config, ConfigDict

from ..apis.train import train_model
from ..engine.checkpoints import latest_checkpoint
from ..inference import Model
from ..utils.files import PathLike, replacing
from ..visualization import class_legend, image_grid


@contextmanager
def console_to(path: PathLike) -> Iterator[None]:
    """Redirect what MMEngine prints to a file; its log files are unaffected."""
    with open(path, 'a', encoding='utf-8') as file, redirect_stdout(file):
        yield


def copy_config(cfg: Config) -> Config:
    """A copy for one run, because running changes a config."""
    return Config(cfg.copy().to_dict(), filename=cfg.filename)


def watched(cfg: Config, description: str) -> Config:
    """A copy of ``cfg`` whose run shows its progress.

    Args:
        cfg: A config; it is not changed.
        description: Text of the progress bar.
    """
    cfg = copy_config(cfg)
    cfg.custom_hooks = [
        *(cfg.get('custom_hooks') or ()),
        ConfigDict(type='mmanchor.ProgressHook', description=f'    {description}'),
    ]
    return cfg


def train_on(cfg: Config, description: str = 'training') -> str:
    """Train, or continue an interrupted run.

    Args:
        cfg: A config with ``work_dir``; it is not changed.
        description: Text of the progress bar.

    Returns:
        The path of the last checkpoint.
    """
    cfg = watched(cfg, description)
    train_model(cfg, resume='auto')
    return latest_checkpoint(cfg.work_dir)


def write_drawing(
    path: PathLike, cells: Sequence[list[np.ndarray]], titles: Sequence[str], model: Model
) -> None:
    """Write a grid of drawings, two images in each row, above a legend.

    Args:
        path: The file.
        cells: For each image its drawings, (H, W, 3) uint8, RGB, as many as titles;
            an even number of images.
        titles: Titles of the drawings.
        model: Has the names and the colors of the classes.
    """
    rows = [left + right for left, right in zip(cells[::2], cells[1::2], strict=True)]
    titles = [*titles] * 2
    width = image_grid(rows, titles).shape[1]
    grid = image_grid(rows, titles, legend=class_legend(model.classes, model.palette, width))
    with replacing(path) as part:
        cv2.imwrite(str(part), grid[..., ::-1])


def enlarge(image: np.ndarray, times: int = 2) -> np.ndarray:
    """Enlarge an image or mask by repeating its pixels."""
    return image.repeat(times, axis=0).repeat(times, axis=1)
