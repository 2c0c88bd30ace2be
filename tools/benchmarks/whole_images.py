"""Segmentors on whole images: in bands, at once, and by sliding windows.

Each form runs in a process of its own, on a mosaic of photographs, with random
weights, which take the same time and memory as trained ones:

    python -m tools.benchmarks.whole_images results.json --photos FOLDER --sides 2048 4096

Time is that of the processor, which other programs on the machine do not
change; with one thread it is the time of an idle machine.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmanchor.analysis.provenance import describe, measured
from mmanchor.analysis.report import markdown_table
from mmanchor.inference.large.forward import LabelRows, trunk_steps
from mmanchor.inference.large.ranks import Ranks
from mmanchor.inference.large.readers import open_reader
from mmanchor.inference.large.segmenting import Strips, segment_file
from mmanchor.inference.large.token_maps import TokenFiles
from mmanchor.inference.loading import load
from mmanchor.models import AnchorFormer
from mmanchor.models.layers.banded_forward import layout_of
from mmanchor.utils.config import load_config
from mmanchor.utils.files import read_json, write_json
from tools.benchmarks.large_images import in_own_process
from tools.benchmarks.memory import process_peak

CONFIG = 'fpn_anchorformer-s_8xb4-40k_ade20k-512'
CROP, STRIDE = 512, 341
FORMS = ('in bands', 'plain', 'windows', 'brief')


def mosaic(side: int, photos: list[str]) -> np.ndarray:
    """A square image of photographs side by side, (side, side, 3) uint8, BGR."""
    order = np.random.default_rng(0)
    image = np.zeros((side, side, 3), np.uint8)
    height, width = cv2.imread(photos[0]).shape[:2]
    for top in range(0, side, height):
        for left in range(0, side, width):
            photo = cv2.imread(photos[order.integers(len(photos))])[:height, :width]
            place = image[top : top + height, left : left + width]
            place[:] = photo[: place.shape[0], : place.shape[1]]
    return image


def random_model(config: str, checkpoint: str | None = None) -> Any:
    """A segmentor whose logits differ, and its weights' file if there is one."""
    cfg = load_config(config)
    cfg.test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline
    model = load(cfg, checkpoint, 'cpu')
    if checkpoint is None:
        torch.manual_seed(0)
        for param in model.module.parameters():
            if param.dim() > 1:
                torch.nn.init.normal_(param, std=0.03)
    return model


def slide(module: Any, x: torch.Tensor) -> torch.Tensor:
    """Labels by mmseg's sliding windows, (H, W)."""
    module.test_cfg.update(mode='slide', crop_size=(CROP, CROP), stride=(STRIDE, STRIDE))
    with torch.no_grad():
        return module.slide_inference(x, [dict(img_shape=x.shape[2:])])[0].argmax(0)


def once(threads: int, form: str, config: str, path: str) -> dict[str, Any]:
    """Run one form on one file; the process should end after it."""
    import tifffile

    torch.set_num_threads(threads)
    model = random_model(config)
    fixed = process_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    if form == FORMS[0]:
        out = Path(path).with_suffix('.out.tif')
        segment_file(model.module, Path(path), out, model.palette, 'cpu', Ranks())
    else:
        image = torch.from_numpy(tifffile.imread(path)[..., ::-1].copy()).permute(2, 0, 1)
        x = model.module.data_preprocessor(dict(inputs=[image]))['inputs']
        with torch.no_grad():
            if form == FORMS[1]:
                model.module.encode_decode(x, [dict(img_shape=x.shape[2:])]).argmax(1)
            else:
                slide(model.module, x)
    return dict(
        cpu_seconds=time.process_time() - cpu,
        seconds=time.perf_counter() - wall,
        bytes=process_peak(),
        fixed_bytes=fixed,
    )


def brief(threads: int, form: str, config: str, path: str) -> dict[str, Any]:
    """Peak memory in bands, by one layer and the first bands of the head.

    The outputs of the trunk are in files, every layer takes what the first one
    takes, and the head holds a few bands at a time: neither further layers nor
    further bands take more. The time says nothing.
    """
    torch.set_num_threads(threads)
    cfg = load_config(config)
    backbone = cfg.model.backbone
    backbone.arch = dict(AnchorFormer.arch_settings[backbone.arch], num_layers=1)
    backbone.out_indices = (0,)
    module = load(cfg, None, 'cpu').module
    fixed = process_peak()
    reader, ranks = open_reader(Path(path)), Ranks()
    backbone, size = module.backbone, reader.size
    layout = layout_of(backbone, size)
    with tempfile.TemporaryDirectory() as folder:
        maps = TokenFiles(Path(folder), layout, (0,), 'cpu', backbone.embed_dims, {}, ranks)
        for _ in trunk_steps(backbone, size, Strips(module, reader), maps):
            pass
        trunk = process_peak()
        rows = LabelRows(module, maps, size)
        for first, last in rows.bands[:4]:
            rows(first, last)
    return dict(
        cpu_seconds=0.0, seconds=0.0, trunk_bytes=trunk, bytes=process_peak(), fixed_bytes=fixed
    )


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows = [
        (
            f'{row["side"]} x {row["side"]}',
            row['form'],
            f'{row["cpu_seconds"] / row["side"] ** 2 * 1e6:.1f} s',
            f'{row["bytes"] / 1e9:.2f} GB',
            f'{row["fixed_bytes"] / 1e9:.2f} GB',
        )
        for row in results['rows']
    ]
    head = ('image', 'form', 'time a megapixel:', 'peak memory:', 'before the image:')
    return f'{markdown_table(head, rows)}\n{describe(results["measured"])}\n'


def main() -> None:
    """Measure, and write after each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results')
    parser.add_argument('--photos', required=True, help='folder of photographs of one size')
    parser.add_argument('--sides', type=int, nargs='+', default=[2048, 4096, 8192])
    parser.add_argument('--forms', nargs='+', choices=FORMS, default=list(FORMS[:3]))
    parser.add_argument('--config', default=CONFIG)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    photos = sorted(map(str, Path(args.photos).iterdir()))
    results = dict(measured=measured(), rows=[])
    if Path(args.results).is_file():
        results['rows'] = read_json(args.results)['rows']
    import tifffile

    with tempfile.TemporaryDirectory() as folder:
        for side in args.sides:
            path = f'{folder}/{side}.tif'
            image = mosaic(side, photos)[..., ::-1]
            tifffile.imwrite(path, image, tile=(512, 512), photometric='rgb', compression='zlib')
            del image
            for form in args.forms:
                row = in_own_process(brief if form == FORMS[3] else once, form, args.config, path)
                results['rows'].append(dict(row, side=side, form=form))
                write_json(args.results, results)
                print(side, form, row, flush=True)
    print(table(results))


if __name__ == '__main__':
    main()
