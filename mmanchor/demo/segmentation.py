"""The segmentation demo: from nothing to a trained, drawn model."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS

from ..analysis.complexity import Complexity, complexity_of_forms
from ..apis.test import test_model
from ..engine.runner import build_runner
from ..inference.loading import load
from ..utils.config import load_config
from ..utils.data_root import set_data_root
from ..utils.files import PathLike, make_folder, read_json, write_json
from ..visualization import overlay_mask
from .scenes import make_demo_data
from .steps import console_to, copy_config, enlarge, train_on, watched, write_drawing

CONFIG = 'upernet_anchorformer-demo_1xb8-1100_demo-128'
METRIC = 'mIoU'
NUM_IMAGES = 8
IGNORED = 255
MASK_OPACITY = 0.75


@dataclass
class DemoResult:
    """Results of the segmentation demo.

    Args:
        untrained: mIoU of the model before training, in percent.
        metrics: Scores of the trained model on the validation split.
        complexity: Costs by form, 'training' and 'deploy'.
        size: Height and width of the images, in pixels.
        files: Paths of the results, by name.
    """

    untrained: float
    metrics: dict[str, float]
    complexity: dict[str, Complexity]
    size: tuple[int, int]
    files: dict[str, str]


def run_segmentation_demo(
    data_root: PathLike,
    work_dir: PathLike,
    cfg_options: dict[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> DemoResult:
    """Make data, train, score and draw; an interrupted run is continued.

    Args:
        data_root: Folder of the demo data; made if it is not there.
        work_dir: Folder for checkpoints, logs, scores and the drawn results.
        cfg_options: Overrides of the demo's config.
        say: Called with a line for each step.

    Returns:
        Scores, costs and files; also written to ``demo.json``.

    Raises:
        UserError: If a folder cannot be used.
    """
    work_dir = make_folder(work_dir, '--work-dir')
    cfg = load_config(CONFIG, cfg_options, work_dir)
    size = tuple(cfg.crop_size)
    say(f'1/5 data: scenes of {size[0]} x {size[1]} pixels in {data_root}')
    data = make_demo_data(
        data_root, num_train=cfg.num_train, num_val=cfg.num_val, size=size, layout='ade'
    )
    set_data_root(cfg, data.root / 'ade')
    with console_to(work_dir / 'console.log'):
        say('2/5 scoring the model before training')
        untrained = _score_untrained(cfg, work_dir / 'untrained.json')
        say(
            f'3/5 training for {cfg.train_cfg.max_iters} iterations; if '
            'interrupted, the same command continues from the last checkpoint'
        )
        checkpoint = train_on(cfg)
        say('4/5 scoring on the validation split')
        metrics = test_model(watched(cfg, 'scoring'), checkpoint)
        say('5/5 drawing predictions')
        drawing = work_dir / 'predictions.png'
        _draw(cfg, checkpoint, drawing)
        forms = complexity_of_forms(copy_config(cfg), size)
    files = dict(
        data=data.root,
        checkpoint=checkpoint,
        logs=work_dir,
        predictions=drawing,
        scores=work_dir / 'demo.json',
    )
    files = {name: str(path) for name, path in files.items()}
    result = DemoResult(untrained, metrics, forms, size, files)
    write_json(files['scores'], asdict(result))
    return result


def _score_untrained(cfg: Config, kept: PathLike) -> float:
    """mIoU of the model before training, measured once and stored."""
    if not kept.is_file():
        # In the test loop: validation belongs to training, whose checkpoint
        # hook would look for the best checkpoint.
        runner = build_runner(watched(cfg, 'scoring'))
        runner.model.init_weights()
        metrics = runner.test()
        write_json(kept, {METRIC: metrics[METRIC]})
    return read_json(kept)[METRIC]


def _draw(cfg: Config, checkpoint: str, path: PathLike) -> None:
    """Write a grid of validation images, their truth and the prediction."""
    model = load(cfg, checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    cells = []
    for i in np.linspace(0, len(dataset) - 1, NUM_IMAGES).astype(int):
        info = dataset.get_data_info(int(i))
        image = cv2.imread(info['img_path'])
        # In ADE20K's files 0 is unlabeled and classes count from 1; the
        # difference wraps 0 around to the ignored label.
        truth = cv2.imread(info['seg_map_path'], cv2.IMREAD_UNCHANGED)
        masks = (truth - np.uint8(1), model.predict(image)[0].mask)
        image = enlarge(image[..., ::-1])
        cells.append(
            [
                image,
                *(
                    overlay_mask(image, enlarge(mask), model.palette, MASK_OPACITY, IGNORED)
                    for mask in masks
                ),
            ]
        )
    write_drawing(path, cells, ['image', 'truth', 'prediction'], model)
