"""The demo: from nothing to a trained, scored and drawn model."""
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import cv2
import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from ..datasets import make_demo_data
from ..visualization import class_legend, overlay_mask, picture_grid
from .complexity import Complexity, complexity_of_forms
from .config import load_config
from .errors import UserError
from .files import PathLike, replacing, write_json
from .predictors import build_predictor, choose_device
from .running import build_runner
from .test import test_model
from .train import train_model
from .weights import latest_checkpoint

CONFIG = 'upernet_anchorformer-demo_1xb16-500_demo-128'
METRIC = 'mIoU'
NUM_PICTURES = 8


@dataclass
class DemoResult:
    """What a demo gave.

    Args:
        untrained: mIoU of the model before training, in percent.
        metrics: Scores of the trained model on the validation split.
        complexity: Costs by form, 'training' and 'deploy'.
        size: Image height and width that the costs are for, in pixels.
        files: What lies where, by name.
    """
    untrained: float
    metrics: Dict[str, float]
    complexity: Dict[str, Complexity]
    size: tuple
    files: Dict[str, Path]


def run_segmentation_demo(data_root: PathLike,
                          work_dir: PathLike,
                          cfg_options: Optional[Dict[str, Any]] = None,
                          say: Callable[[str], None] = print) -> DemoResult:
    """Make data, train, score and draw; continue where a run was stopped.

    Args:
        data_root: Folder of the demo data; made if it is not there.
        work_dir: Folder for checkpoints, logs, scores and the picture.
        cfg_options: Overrides of the demo's config.
        say: Called with a line for each step.

    Returns:
        Scores, costs and files.

    Raises:
        UserError: If a folder cannot be used.
    """
    cfg = load_config(CONFIG, cfg_options, work_dir)
    height, width = cfg.crop_size
    say(f'1/5 data: scenes of {height} x {width} pixels in {data_root}')
    data = make_demo_data(
        data_root,
        num_train=cfg.num_train,
        num_val=cfg.num_val,
        size=(height, width))
    _use_data(cfg, Path(data.root, 'ade'))
    say('2/5 the model before training')
    untrained = _score_untrained(cfg)
    say(f'    {METRIC} {untrained:.1f}')
    say(f'3/5 training: {cfg.train_cfg.max_iters} iterations; stop it at any '
        'time, the same command goes on from the last checkpoint')
    checkpoint = _train(cfg)
    say('4/5 scoring on the validation split')
    metrics = test_model(_quiet(_copy(cfg)), checkpoint)
    say('5/5 drawing')
    picture = Path(work_dir, 'predictions.png')
    _draw(cfg, checkpoint, picture)
    result = DemoResult(
        untrained, metrics, complexity_of_forms(cfg, (height, width)),
        (height, width),
        dict(
            data=Path(data.root),
            checkpoint=Path(checkpoint),
            picture=picture,
            scores=Path(work_dir, 'demo.json')))
    _write(result)
    return result


def _copy(cfg: Config) -> Config:
    return Config(cfg.copy().to_dict(), filename=cfg.filename)


def _use_data(cfg: Config, root: Path) -> None:
    """Point every loader of ``cfg`` at the demo data below ``root``."""
    cfg.data_root = str(root)
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].dataset.data_root = str(root)


def _quiet(cfg: Config) -> Config:
    """Keep logs in their file, away from the screen."""
    logging.getLogger('PIL').setLevel(logging.WARNING)
    cfg.default_hooks.logger.log_metric_by_epoch = False
    cfg.custom_hooks = [
        *(cfg.get('custom_hooks') or ()),
        ConfigDict(type='mmanchor.QuietConsoleHook')
    ]
    return cfg
