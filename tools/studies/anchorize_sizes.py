"""An anchorized network and its teacher on larger images: cost, time, memory, agreement.

The time is that of the processor (CPU seconds of one thread, least of the runs), which other
programs on the machine hardly change. Agreement is the mean cosine of the normalized tokens.

usage: python -m tools.studies.anchorize_sizes --weights FILE --student FILE.safetensors
           --images FOLDER --out FILE.json [--sizes 224 512 1024 2048]
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmanchor.analysis.flops import count_macs
from mmanchor.analysis.memory import peak_memory
from mmanchor.analysis.provenance import provenance
from mmanchor.anchorization.model_inputs import preparation_for
from mmanchor.anchorization.views import RandomViews
from mmanchor.apis import load
from mmanchor.apis.anchorizing import load_vit
from mmanchor.utils.files import write_json

# Images that agreement is measured on, up to the largest size for it.
IMAGES, LARGEST = 4, 1024


def tokens_of(backbone: nn.Module) -> nn.Module:
    """The trunk with all normalized tokens as its output."""
    backbone.out_type = 'featmap'
    return backbone.eval()


@torch.no_grad()
def agreement(teacher: nn.Module, student: nn.Module, images: Tensor) -> float:
    """Mean cosine between tokens of both networks."""
    each = zip(teacher(images)[0], student(images)[0], strict=True)
    return float(torch.stack([F.cosine_similarity(a, b, dim=0).mean() for a, b in each]).mean())


@torch.no_grad()
def seconds(model: nn.Module, image: Tensor, runs: int) -> float:
    """Least CPU seconds of a forward pass."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        model(image)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Measure all sizes, and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--student', type=Path, required=True)
    parser.add_argument('--images', required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--sizes', type=int, nargs='+', default=[224, 512, 1024, 2048])
    args = parser.parse_args()
    torch.set_num_threads(1)
    vit = load_vit(args.weights)
    prepare = preparation_for(vit.model)
    student = load(args.student.with_suffix('.py'), args.student, 'cpu').module
    student.backbone.switch_to_deploy()
    networks = {'teacher': tokens_of(vit.model.backbone), 'student': tokens_of(student.backbone)}
    rows: list[dict[str, Any]] = []
    for size in args.sizes:
        views = RandomViews(args.images, (size, size))
        images = prepare(torch.stack([views[index] for index in range(IMAGES)]))
        row: dict[str, Any] = dict(size=size)
        for name, network in networks.items():
            image = images[:1]
            with torch.no_grad():
                memory = peak_memory(lambda network=network, image=image: network(image))
            row[name] = dict(
                macs=count_macs(network, image).total,
                seconds=round(seconds(network, image, 3 if size <= LARGEST else 1), 3),
                memory=memory,
            )
        if size <= LARGEST:
            row['cosine'] = round(agreement(*networks.values(), images), 3)
        rows.append(row)
        print(row, flush=True)
        write_json(args.out, dict(**provenance(), rows=rows))


if __name__ == '__main__':
    main()
