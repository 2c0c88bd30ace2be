"""The detection demo: a detector with anchors beside its twin without."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS

from ..analysis.complexity import Complexity, complexity_of_forms
from ..apis.test import test_model
from ..inference.loading import load
from ..utils.config import load_config
from ..utils.data_root import set_data_root
from ..utils.files import PathLike, make_folder, read_json, write_json
from ..visualization import draw_boxes
from .scenes import make_demo_data
from .steps import console_to, copy_config, enlarge, train_on, watched, write_drawing

CONFIGS = {
    'AnchorESNet': 'picodet_anchorformer-demo_1xb8-6e_demo-160',
    'ESNet': 'picodet_esnet-demo_1xb8-6e_demo-160',
}
# Names in the table, and CocoMetric's.
METRICS = {
    'AP': 'coco/bbox_mAP',
    'AP50': 'coco/bbox_mAP_50',
    'AP75': 'coco/bbox_mAP_75',
    'AP small': 'coco/bbox_mAP_s',
    'AP medium': 'coco/bbox_mAP_m',
    'AP large': 'coco/bbox_mAP_l',
}
NUM_IMAGES = 6
SCORE_THR = 0.4
TIMES = 2  # Enlargement of the images.


@dataclass
class TrainedDetector:
    """Results of training one detector.

    Args:
        metrics: COCO's averages by :data:`METRICS`'s names, 0 to 1; ``None``
            where the validation split has no box of the size.
        complexity: Costs by form, 'training' and, if it has one, 'deploy'.
        minutes: Time of training, scoring left out, over all runs.
        checkpoint: The last checkpoint.
    """

    metrics: dict[str, float | None]
    complexity: dict[str, Complexity]
    minutes: float
    checkpoint: str

    def cost(self) -> Complexity:
        """The cost of the form to deploy."""
        return self.complexity.get('deploy', self.complexity['training'])


@dataclass
class DetectionDemo:
    """Results of the detection demo.

    Args:
        detectors: By the names of :data:`CONFIGS`.
        size: Height and width of the images, in pixels.
        files: Paths of the results, by name.
    """

    detectors: dict[str, TrainedDetector]
    size: tuple[int, int]
    files: dict[str, str]


def run_detection_demo(
    data_root: PathLike,
    work_dir: PathLike,
    cfg_options: dict[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> DetectionDemo:
    """Make data, train, score and draw; an interrupted run is continued.

    Args:
        data_root: Folder of the demo data; made if it is not there.
        work_dir: Folder for checkpoints, logs, scores and the drawn results.
        cfg_options: Overrides of both configs.
        say: Called with a line for each step.

    Returns:
        Scores, costs and files; also written to ``demo.json``.

    Raises:
        UserError: If a folder cannot be used.
    """
    work_dir = make_folder(work_dir, '--work-dir')
    cfgs = {
        name: load_config(config, cfg_options, work_dir / name.lower())
        for name, config in CONFIGS.items()
    }
    first = next(iter(cfgs.values()))
    size = (first.image_size, first.image_size)
    steps = 2 + len(cfgs)
    say(f'1/{steps} data: scenes of {size[0]} x {size[1]} pixels in {data_root}')
    data = make_demo_data(
        data_root, num_train=first.num_train, num_val=first.num_val, size=size, layout='coco'
    )
    detectors = {}
    with console_to(work_dir / 'console.log'):
        for step, (name, cfg) in enumerate(cfgs.items(), start=2):
            set_data_root(cfg, data.root / 'coco')
            say(
                f'{step}/{steps} {name}: training for '
                f'{cfg.train_cfg.max_epochs} epochs; if interrupted, the same '
                'command continues from the last checkpoint'
            )
            detectors[name] = _train_and_score(cfg, size)
        say(f'{steps}/{steps} drawing detections')
        drawing = work_dir / 'detections.png'
        _draw(cfgs, detectors, drawing)
    files = dict(
        data=str(data.root),
        logs=str(work_dir),
        detections=str(drawing),
        scores=str(work_dir / 'demo.json'),
    )
    result = DetectionDemo(detectors, size, files)
    write_json(files['scores'], asdict(result))
    return result


def _train_and_score(cfg: Config, size: tuple[int, int]) -> TrainedDetector:
    """Train, or continue training; score the last checkpoint."""
    clock = Path(cfg.work_dir) / 'minutes.json'
    before = read_json(clock)['minutes'] if clock.is_file() else 0.0
    start = time.monotonic()
    checkpoint = train_on(cfg)
    minutes = before + (time.monotonic() - start) / 60
    write_json(clock, dict(minutes=minutes))
    scores = test_model(watched(cfg, 'scoring'), checkpoint)
    metrics = {name: scores.get(key) for name, key in METRICS.items()}
    # pycocotools returns -1 where there was nothing to find.
    metrics = {name: None if value == -1 else value for name, value in metrics.items()}
    forms = complexity_of_forms(copy_config(cfg), size)
    return TrainedDetector(metrics, forms, minutes, checkpoint)


def _draw(cfgs: dict[str, Config], detectors: dict[str, TrainedDetector], path: PathLike) -> None:
    """Write a grid of validation images: truth, and what each found."""
    models = {name: load(cfg, detectors[name].checkpoint) for name, cfg in cfgs.items()}
    first = next(iter(models.values()))
    cfg = next(iter(cfgs.values()))
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    cells = [
        _draw_row(dataset.get_data_info(int(i)), models)
        for i in np.linspace(0, len(dataset) - 1, NUM_IMAGES).astype(int)
    ]
    write_drawing(path, cells, ['truth', *models], first)


def _draw_row(info: dict[str, Any], models: dict[str, Any]) -> list[np.ndarray]:
    """One image with its truth, then with each detector's boxes."""
    image = cv2.imread(info['img_path'])
    shown = enlarge(image[..., ::-1], TIMES)
    truth = [each for each in info['instances'] if not each['ignore_flag']]
    first = next(iter(models.values()))
    row = [
        draw_boxes(
            shown,
            np.array([each['bbox'] for each in truth]).reshape(-1, 4) * TIMES,
            [each['bbox_label'] for each in truth],
            classes=first.classes,
            palette=first.palette,
            dashed=True,
        )
    ]
    for model in models.values():
        [result] = model.predict(image, score_thr=SCORE_THR)
        row.append(
            draw_boxes(
                shown,
                result.boxes * TIMES,
                result.labels,
                model.classes,
                model.palette,
                result.scores,
            )
        )
    return row
