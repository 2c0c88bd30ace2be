"""How much training time goes into data loading and target assignment."""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from mmanchor.analysis.networks import errors_only, without_checkpoints
from mmanchor.analysis.provenance import describe, measured
from mmanchor.analysis.report import markdown_table
from mmanchor.demo import detection as demo_detection
from mmanchor.demo import segmentation as demo_segmentation
from mmanchor.demo.scenes import make_demo_data
from mmanchor.utils.config import building, load_config, toolbox
from mmanchor.utils.data_root import set_data_root
from mmanchor.utils.errors import UserError
from mmanchor.utils.files import PathLike
from mmanchor.utils.progress import Track, silently

# COCO's training images have 7.3 boxes on average.
BOXES_PER_IMAGE = 7
# The demos' configs, and the layouts of their data.
DEMOS = {
    'detection': (demo_detection.CONFIGS['AnchorESNet'], 'coco'),
    'segmentation': (demo_segmentation.CONFIG, 'ade'),
}
# The configs whose assigner is measured.
ASSIGNED = ('picodet_esnet-s_4xb80-300e_coco-416',)


def demo_config(task: str, data_root: PathLike, num_train: int = 160) -> Config:
    """Make the data of a demo, and its config.

    Args:
        task: ``'detection'`` or ``'segmentation'``.
        data_root: Folder of the scenes; they are drawn if it has none.
        num_train: Number of scenes for training.

    Returns:
        The config, with loaders of this data.

    Raises:
        UserError: If there is no such demo, or the folder cannot be used.
    """
    if task not in DEMOS:
        raise UserError(f'there is no demo {task!r}; choose from {", ".join(DEMOS)}')
    name, layout = DEMOS[task]
    cfg = load_config(name)
    size = cfg.get('image_size') or cfg.crop_size[0]
    data = make_demo_data(
        data_root, num_train=num_train, num_val=1, size=(size, size), layout=layout
    )
    set_data_root(cfg, data.root / layout)
    return cfg


def run_training(
    iters: int = 30, assignment_iters: int = 5, track: Track = silently
) -> dict[str, Any]:
    """Measure both shares: loading in the demos, assignment in PicoDet-S.

    Args:
        iters: Iterations of each demo.
        assignment_iters: Steps of PicoDet-S, each of some seconds.
        track: Shows progress, such as :func:`mmanchor.cli.progress.track`.

    Returns:
        ``measured`` and ``rows``: what :func:`loading_share` and
        :func:`assignment_share` gave, with ``kind`` ('loading' or
        'assignment') and ``config``.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in track(tuple(DEMOS), 'loading'):
            cfg = demo_config(task, Path(folder, task))
            rows.append(dict(loading_share(cfg, iters), kind='loading', config=DEMOS[task][0]))
    for name in track(ASSIGNED, 'assignment'):
        share = assignment_share(load_config(name), iters=assignment_iters)
        rows.append(dict(share, kind='assignment', config=name))
    return dict(measured=measured(dtype='float32'), rows=rows)


def training_table(results: dict[str, Any]) -> str:
    """Render the shares as Markdown.

    Args:
        results: From :func:`run_training`.
    """
    rows = []
    for row in results['rows']:
        loading = row['kind'] == 'loading'
        part = row['waiting' if loading else 'assigning']
        rows.append(
            (
                row['config'],
                'waiting for data' if loading else 'assigning boxes to priors',
                row['batch'],
                f'{part * 1e3:.1f} ms',
                f'{row["step"] * 1e3:.0f} ms',
                f'{row["share"]:.1%}',
            )
        )
    table = markdown_table(
        ('config', 'part', 'batch:', 'median:', 'training step:', 'share of the time:'), rows
    )
    notes = [
        f'{row["config"]}: {row["iters"]} iterations, '
        + (
            f'{row["workers"]} workers'
            if row['kind'] == 'loading'
            else f'{row["boxes"]} random boxes per image'
        )
        for row in results['rows']
    ]
    return (
        f'{table}\nThe median is the time of the part per iteration, on the CPU, float32. '
        f'{"; ".join(notes)}. {describe(results["measured"])}\n'
    )


def loading_share(cfg: Config, iters: int = 20, warmup: int = 3) -> dict:
    """Measure how long a config's training waits for data.

    Args:
        cfg: A config whose training data exists; it is not changed. Batches
            come from its own loader, with its workers.
        iters: Number of iterations that count.
        warmup: Number of iterations before them.

    Returns:
        ``waiting`` and ``step``, medians per iteration in seconds;
        ``share``, the part of all iterations' time spent waiting, 0 to 1;
        ``batch``, ``workers`` and ``iters``.

    Raises:
        UserError: If the config cannot be built.
    """
    model, optimizer = _trainer(cfg)
    with building(cfg):
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    waiting: list[float] = []
    steps: list[float] = []
    batches = iter(loader)
    for _ in range(warmup + iters):
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        ready = time.perf_counter()
        model.train_step(batch, optimizer)
        waiting.append(ready - start)
        steps.append(time.perf_counter() - ready)
    waiting, steps = waiting[warmup:], steps[warmup:]
    return dict(
        waiting=median(waiting),
        step=median(steps),
        share=sum(waiting) / (sum(waiting) + sum(steps)),
        batch=loader.batch_size or len(batch['inputs']),
        workers=loader.num_workers,
        iters=iters,
    )


def assignment_share(
    cfg: Config,
    batch: int = 16,
    size: tuple[int, int] = (416, 416),
    iters: int = 5,
    warmup: int = 1,
) -> dict:
    """How much of a detector's training step assigns boxes to priors.

    A step is forward, losses, backward and the optimizer's update, on noise
    with random boxes: as many per image as in COCO, and as varied in size.
    Loading and augmenting images is left out.

    Args:
        cfg: A config of a one-stage detector of mmdet; it is not changed.
        batch: Number of images.
        size: (H, W) of the images, in pixels.
        iters: Number of steps that count.
        warmup: Number of steps before them.

    Returns:
        ``assigning`` and ``step`` (which includes it), medians in seconds;
        ``share``, the part of all steps' time spent assigning, 0 to 1;
        ``batch``, ``size``, ``boxes`` per image and ``iters``.

    Raises:
        UserError: If the config cannot be built, or its head has no assigner.
    """
    model, optimizer = _trainer(cfg)
    assigner = getattr(getattr(model, 'bbox_head', None), 'assigner', None)
    if toolbox(cfg) != 'mmdet' or assigner is None:
        raise UserError(
            f'the config {cfg.filename} has no bbox_head with an '
            'assigner: use one of a one-stage detector of mmdet'
        )
    images = torch.randn(batch, 3, *size)
    samples = _random_samples(batch, size, model.bbox_head.num_classes)
    spent = _watch(assigner)
    assigning: list[float] = []
    steps: list[float] = []
    for _ in range(warmup + iters):
        spent.clear()
        start = time.perf_counter()
        losses, _ = model.parse_losses(model.loss(images, samples))
        optimizer.update_params(losses)
        steps.append(time.perf_counter() - start)
        assigning.append(sum(spent))
    assigning, steps = assigning[warmup:], steps[warmup:]
    return dict(
        assigning=median(assigning),
        step=median(steps),
        share=sum(assigning) / sum(steps),
        batch=batch,
        size=list(size),
        boxes=BOXES_PER_IMAGE,
        iters=iters,
    )


def _watch(assigner: Any) -> list[float]:
    """Record how many seconds each call of ``assigner.assign`` takes."""
    assign = assigner.assign
    spent: list[float] = []

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = assign(*args, **kwargs)
        spent.append(time.perf_counter() - start)
        return result

    assigner.assign = timed
    return spent


def _trainer(cfg: Config) -> tuple[BaseModel, OptimWrapper]:
    """Build a model with random weights, and its optimizer, on the CPU."""
    init_default_scope(toolbox(cfg))
    model_cfg = without_checkpoints(cfg.model.to_dict())
    if cfg.get('data_preprocessor'):  # mmpretrain's place for it
        model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)
    with building(cfg), errors_only():
        model = revert_sync_batchnorm(MODELS.build(model_cfg)).train()
        model.init_weights()
        return model, build_optim_wrapper(model, cfg.optim_wrapper)


def _random_samples(batch: int, size: tuple[int, int], num_classes: int) -> list:
    """Boxes with sides between 1/32 and all of the image."""
    from mmdet.structures import DetDataSample

    generator = torch.Generator().manual_seed(0)
    height, width = size
    extent = torch.tensor((width, height), dtype=torch.float32)
    samples = []
    for _ in range(batch):
        draws = torch.rand(BOXES_PER_IMAGE, 4, generator=generator)
        sides = extent * 32 ** (draws[:, :2] - 1)
        corner = (extent - sides) * draws[:, 2:]
        labels = torch.randint(num_classes, (BOXES_PER_IMAGE,), generator=generator)
        sample = DetDataSample(
            metainfo=dict(img_shape=size, pad_shape=size, batch_input_shape=size)
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.cat((corner, corner + sides), dim=1), labels=labels
        )
        samples.append(sample)
    return samples
