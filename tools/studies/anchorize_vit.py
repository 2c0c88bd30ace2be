"""How well a DeiT-Ti that was anchorized classifies, step by step.

Learns from unlabeled photographs; scores images of ImageNet, which are never learned from. The rows
go to a JSON file, from which docs/figures/anchorize.py draws.

usage: python -m tools.studies.anchorize_vit --weights FILE --images FOLDER... --val FOLDER
           --list FILE --out FOLDER [--layers 0-7] [--anchors 64] [--align 300] [--distill 300]
           [--without anchor_links ...]
"""

import argparse
import hashlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mmanchor.analysis.flops import count_macs
from mmanchor.analysis.provenance import provenance
from mmanchor.anchorization import Recipe
from mmanchor.anchorization.anchorizing import PLUS
from mmanchor.anchorization.model_inputs import preparation_for
from mmanchor.apis import anchorize_checkpoint
from mmanchor.utils.files import write_json
from mmanchor.utils.inputs import open_input

# Options that are kept, of which none is a path.
KEPT = ('layers', 'anchors', 'align', 'distill', 'lr', 'batch_size', 'seed', 'without', 'no_amp')


def scored_images(folder: Path, listing: Path) -> tuple[Tensor, Tensor]:
    """Center crops of ImageNet's test pipeline, (n, 3, 224, 224) uint8, and labels."""
    images, labels = [], []
    for line in listing.read_text().splitlines():
        name, label = line.split()
        image = Image.open(folder / name).convert('RGB')
        scale = 256 / min(image.size)
        size = [round(side * scale) for side in image.size]
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = ((side - 224) // 2 for side in size)
        image = image.crop((left, top, left + 224, top + 224))
        images.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
        labels.append(int(label))
    return torch.stack(images), torch.tensor(labels)


@torch.no_grad()
def count_right(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """Number of images whose first class is right."""
    prepare = preparation_for(model)
    right = 0
    for batch, wanted in zip(images.split(50), labels.split(50), strict=True):
        right += int((model(prepare(batch)).argmax(1).cpu() == wanted).sum())
    return right


def interval(right: int, number: int) -> tuple[float, float]:
    """95 % interval of a share in percent, by Wilson.

    Example:
        >>> [round(each, 1) for each in interval(400, 500)]
        [76.3, 83.3]
    """
    z, share = 1.96, right / number
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z * math.sqrt(share * (1 - share) / number + z * z / (4 * number**2))
    half /= 1 + z * z / number
    return 100 * (middle - half), 100 * (middle + half)


class Curve:
    """Scores a student now and then, and keeps the time that learning took."""

    def __init__(
        self, images: Tensor, labels: Tensor, batch_size: int, file: Path, points: int
    ) -> None:
        self.images, self.labels, self.batch_size, self.file = images, labels, batch_size, file
        self.points = points
        self.rows: list[dict[str, Any]] = []
        self.start = time.monotonic()
        self.views = 0
        self.stage = ''

    def add(self, stage: str, step: int, model: nn.Module, **more: Any) -> None:
        """Score a model."""
        paused = time.monotonic()
        right = count_right(model, self.images, self.labels)
        low, high = interval(right, len(self.labels))
        row = dict(
            stage=stage,
            step=step,
            views=self.views,
            minutes=round((paused - self.start) / 60, 2),
            top1=round(100 * right / len(self.labels), 2),
            low=round(low, 1),
            high=round(high, 1),
            **more,
        )
        self.rows.append(row)
        print(row, flush=True)
        write_json(self.file, self.rows)
        self.start += time.monotonic() - paused

    def __call__(self, stage: Any, step: int, errors: dict[str, float]) -> None:
        """After each step: score at the first, and at equal parts of a stage."""
        if stage.name != self.stage and stage.name == 'align':
            self.add('start', 0, stage.teacher)
        self.stage = stage.name
        self.views += self.batch_size
        if step % max(1, stage.steps // self.points) == 0 or step == stage.steps:
            mean = sum(errors.values()) / len(errors)
            self.add(stage.name, step, stage.student, error=round(mean, 4))


def main() -> None:
    """Convert once, and write the curve."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--images', nargs='+', required=True)
    parser.add_argument('--val', type=Path, required=True)
    parser.add_argument('--list', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--name', default='run')
    parser.add_argument('--layers')
    parser.add_argument('--anchors', type=int, default=64)
    parser.add_argument('--align', type=int, default=300)
    parser.add_argument('--distill', type=int, default=300)
    parser.add_argument('--lr', type=float, default=5e-5)
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--points', type=int, default=4, help='scores of a stage')
    parser.add_argument('--without', nargs='*', default=[], choices=[*PLUS, 'depthwise'])
    parser.add_argument('--no-amp', action='store_true')
    args = parser.parse_args()
    made_by = provenance()
    args.out.mkdir(parents=True, exist_ok=True)
    images, labels = scored_images(args.val, args.list)
    rows_file = args.out / f'{args.name}.rows.json'
    curve = Curve(images, labels, args.batch_size, rows_file, args.points)
    result = anchorize_checkpoint(
        args.weights,
        args.images,
        args.out / f'{args.name}.safetensors',
        num_anchors=args.anchors,
        layers=args.layers,
        local='none' if 'depthwise' in args.without else 'depthwise',
        form={name: name not in args.without for name in PLUS},
        align=args.align,
        distill=dict(steps=args.distill, lr=args.lr),
        recipe=Recipe(args.batch_size, args.seed, not args.no_amp),
        after=[curve],
    )
    names = [path.name for path in open_input(args.images).paths]
    write_json(
        args.out / f'{args.name}.json',
        dict(
            options={name: value for name, value in vars(args).items() if name in KEPT},
            **made_by,
            learned_from=dict(images=len(names), sha256=_digest(names)),
            scored_on=dict(images=len(labels), sha256=_digest(args.list.read_text().split())),
            macs=_macs(result.model),
            rows=curve.rows,
            errors=result.errors,
        ),
    )
    rows_file.unlink()


def _macs(model: nn.Module) -> dict[str, int]:
    """Multiply-adds for one image of 224 x 224, as trained and in the deploy form."""
    image = torch.zeros(1, 3, 224, 224)
    trained = count_macs(model, image).total
    model.backbone.switch_to_deploy()
    return dict(trained=trained, deploy=count_macs(model, image).total)


def _digest(words: list[str]) -> str:
    return hashlib.sha256('\n'.join(sorted(words)).encode()).hexdigest()[:16]


if __name__ == '__main__':
    main()
