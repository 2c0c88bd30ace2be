"""Scenes on disk, in the layouts of ADE20K and COCO."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .classes import DEMO_CLASSES, THINGS
from .masks import mask_to_box, mask_to_polygons, mask_to_rle
from .rendering import Instance, Rendering, render
from .scenes import SceneStyle, random_scene

LAYOUTS = ('ade', 'coco', 'both')


@dataclass(frozen=True)
class Split:
    """A split's names in both layouts.

    Attributes:
        name: 'train' or 'val'.
        stream: Its own stream of random numbers; splits never share one.
        ade: Folder name in ADE20K's layout.
        coco: Folder name in COCO's layout.
    """

    name: str
    stream: int
    ade: str
    coco: str

    def image_id(self, index: int) -> int:
        """COCO's id of an image; different in every split."""
        return self.stream * 1_000_000 + index + 1


SPLITS = (Split('train', 0, 'training', 'train2017'), Split('val', 1, 'validation', 'val2017'))


@dataclass(frozen=True)
class SceneJob:
    """Everything a worker needs to render and write one scene.

    Attributes:
        root: Folder of the data set.
        layout: One of ``LAYOUTS``.
        split: The split that the scene belongs to.
        index: The scene's number in its split.
        seed: The data set's seed.
        size: Height and width, pixels.
        style: How difficult the scene is.
    """

    root: Path
    layout: str
    split: Split
    index: int
    seed: int
    size: tuple[int, int]
    style: SceneStyle


@dataclass(frozen=True)
class SceneRecord:
    """What the data set's index needs to know about a written scene.

    Attributes:
        annotations: COCO's annotations, as yet without ids.
        images_with: Names of the classes in the mask.
    """

    annotations: list[dict]
    images_with: list[str]


def make_folders(root: Path, layout: str) -> None:
    """Create a layout's empty folders below ``root``."""
    for split in SPLITS:
        if layout != 'coco':
            for name in ('images', 'annotations'):
                (root / 'ade' / name / split.ade).mkdir(parents=True)
        if layout != 'ade':
            (root / 'coco' / split.coco).mkdir(parents=True)
    if layout != 'ade':
        (root / 'coco' / 'annotations').mkdir()


def write_scene(job: SceneJob) -> SceneRecord:
    """Render a scene and write its files.

    The scene depends on seed, split, index, size and style alone, so any
    process can write it, in any order.

    Args:
        job: Which scene, and where to.

    Returns:
        What the index of the data set needs.
    """
    rng = np.random.default_rng([job.seed, job.split.stream, job.index])
    rendering = render(random_scene(rng, job.index, job.size, job.style), job.style)
    image_id = job.split.image_id(job.index)
    stem = f'ADE_{job.split.name}_{job.index + 1:08d}'
    ade, coco = job.root / 'ade', job.root / 'coco'
    paths = []
    if job.layout != 'coco':
        paths.append(ade / 'images' / job.split.ade / f'{stem}.jpg')
        (ade / 'annotations' / job.split.ade / f'{stem}.png').write_bytes(
            _encode('.png', rendering.labels)
        )
    if job.layout != 'ade':
        paths.append(coco / job.split.coco / f'{image_id:012d}.jpg')
    _write_image(rendering, paths)
    annotations = []
    for instance in rendering.instances:
        annotations.append(dict(image_id=image_id, **_coco_annotation(instance)))
    present = np.flatnonzero(np.bincount(rendering.labels.ravel())[1:])
    return SceneRecord(annotations, [DEMO_CLASSES[i] for i in present])


def write_coco_index(
    root: Path, split: Split, size: Sequence[int], records: list[SceneRecord]
) -> None:
    """Write a split's ``instances_*.json``.

    Args:
        root: Folder of the data set.
        split: The split.
        size: Height and width of its images, pixels.
        records: Its scenes in order.
    """
    images, annotations = [], []
    for index, record in enumerate(records):
        image_id = split.image_id(index)
        images.append(
            dict(
                id=image_id,
                file_name=f'{image_id:012d}.jpg',
                height=size[0],
                width=size[1],
                license=1,
                date_captured='2024-01-01 00:00:00',
            )
        )
        for annotation in record.annotations:
            number = split.stream * 10_000_000 + len(annotations) + 1
            annotations.append(dict(id=number, **annotation))
    index = dict(
        info=dict(
            description='mmanchor demo scenes',
            version='1.0',
            year=2024,
            contributor='mmanchor',
            date_created='2024/01/01',
        ),
        licenses=[dict(id=1, name='Apache-2.0', url='')],
        images=images,
        annotations=annotations,
        categories=[
            dict(
                id=thing.category_id,
                name=thing.name,
                supercategory='stroke' if thing.stroke else 'shape',
            )
            for thing in THINGS
        ],
    )
    path = root / 'coco' / 'annotations' / f'instances_{split.coco}.json'
    path.write_text(json.dumps(index), encoding='utf-8')


def _coco_annotation(instance: Instance) -> dict[str, object]:
    encode = mask_to_rle if instance.crowd else mask_to_polygons
    return dict(
        category_id=THINGS[instance.class_index].category_id,
        iscrowd=int(instance.crowd),
        bbox=mask_to_box(instance.mask),
        area=float(np.count_nonzero(instance.mask)),
        segmentation=encode(instance.mask),
    )


def _encode(suffix: str, array: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, array, options)
    if not done:
        raise RuntimeError(f'OpenCV could not encode a {suffix} file')
    return data.tobytes()


def _write_image(rendering: Rendering, paths: list[Path]) -> None:
    """Write the image once; a second layout links to the file if possible."""
    paths[0].write_bytes(
        _encode(
            '.jpg', rendering.image[..., ::-1], cv2.IMWRITE_JPEG_QUALITY, rendering.jpeg_quality
        )
    )
    for path in paths[1:]:
        try:
            os.link(paths[0], path)
        except OSError:  # Not every file system has hard links.
            shutil.copyfile(paths[0], path)
