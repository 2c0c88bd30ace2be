"""The demo data set on disk: both layouts, repeatable, all or nothing."""

import filecmp
import json
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmanchor.demo.scenes import (
    DEMO_CLASSES,
    DEMO_PALETTE,
    DEMO_THING_CLASSES,
    DemoData,
    make_demo_data,
)
from mmanchor.demo.scenes import demo_data as module
from mmanchor.demo.scenes.writers import SPLITS
from mmanchor.utils.errors import UserError

TINY = dict(num_train=9, num_val=3, size=(48, 48), progress=False)
SPLIT_FOLDERS = [(split.ade, split.coco) for split in SPLITS]


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def load_coco(data: DemoData, folder: str) -> COCO:
    return COCO(data.root / 'coco/annotations' / f'instances_{folder}.json')


@pytest.fixture(params=SPLIT_FOLDERS, ids=['train', 'val'])
def split(request: pytest.FixtureRequest) -> tuple:
    return request.param


def test_files_are_the_same_for_any_number_of_processes(tmp_path) -> None:
    # Threads of OpenCV in this process once kept a second one from starting.
    threads = cv2.getNumThreads()
    cv2.GaussianBlur(np.zeros((800, 800, 3), np.float32), (0, 0), 3)
    make_demo_data(tmp_path / 'a', processes=1, **TINY)
    make_demo_data(tmp_path / 'b', processes=2, **TINY)
    assert cv2.getNumThreads() == threads
    assert files(tmp_path / 'a') == files(tmp_path / 'b')


def test_seed_changes_every_image(tmp_path) -> None:
    make_demo_data(tmp_path / 'a', seed=0, layout='ade', **TINY)
    make_demo_data(tmp_path / 'b', seed=1, layout='ade', **TINY)
    first, second = files(tmp_path / 'a'), files(tmp_path / 'b')
    assert first.keys() == second.keys()
    images = [name for name in first if name.endswith('.jpg')]
    assert len(images) == 12
    assert all(first[name] != second[name] for name in images)


def test_more_images_keep_the_first_ones(tmp_path) -> None:
    make_demo_data(tmp_path / 'a', layout='ade', **TINY)
    make_demo_data(tmp_path / 'b', layout='ade', **{**TINY, 'num_train': 11})
    first, second = files(tmp_path / 'a/ade'), files(tmp_path / 'b/ade')
    assert len(second) == len(first) + 4
    assert all(second[name] == content for name, content in first.items())


def test_splits_share_no_image(demo_data: DemoData) -> None:
    train, val = (
        {path.read_bytes() for path in (demo_data.root / 'ade/images' / folder).iterdir()}
        for folder, _ in SPLIT_FOLDERS
    )
    assert len(train) == 48 and len(val) == 24
    assert not train & val


def test_masks_are_those_of_ade20k(demo_data: DemoData, split) -> None:
    ade = demo_data.root / 'ade'
    images = sorted((ade / 'images' / split[0]).iterdir())
    masks = sorted((ade / 'annotations' / split[0]).iterdir())
    assert [path.stem for path in images] == [path.stem for path in masks]
    seen = set()
    for image, mask in zip(images, masks, strict=True):
        labels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8 and labels.shape == (96, 112)
        assert cv2.imread(str(image)).shape == (96, 112, 3)
        seen.update(np.unique(labels).tolist())
    assert seen == set(range(len(DEMO_CLASSES) + 1))


def test_both_layouts_hold_the_same_images(demo_data: DemoData, split) -> None:
    ade = sorted((demo_data.root / 'ade/images' / split[0]).iterdir())
    coco = sorted((demo_data.root / 'coco' / split[1]).iterdir())
    assert len(ade) == len(coco) > 0
    assert all(filecmp.cmp(*pair, False) for pair in zip(ade, coco, strict=True))


def test_polygons_agree_with_masks(demo_data: DemoData, split) -> None:
    """An object's polygons, drawn, are its class's region in the mask."""
    coco = load_coco(demo_data, split[1])
    folder = demo_data.root / 'ade/annotations' / split[0]
    masks = sorted(folder.iterdir())
    for image, path in zip(coco.dataset['images'], masks, strict=True):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        drawn = np.zeros_like(labels)
        objects = coco.imgToAnns[image['id']]
        for annotation in objects:
            name = coco.cats[annotation['category_id']]['name']
            region = coco.annToMask(annotation).astype(bool)
            drawn[region] = DEMO_CLASSES.index(name) + 1
            assert annotation['area'] == pytest.approx(region.sum(), rel=0.1, abs=12)
        for name in DEMO_THING_CLASSES:
            label = DEMO_CLASSES.index(name) + 1
            union = ((labels == label) | (drawn == label)).sum()
            both = ((labels == label) & (drawn == label)).sum()
            assert both >= 0.9 * union - 4


def test_coco_file_has_what_coco_files_have(demo_data: DemoData, split) -> None:
    coco = load_coco(demo_data, split[1])
    assert {'info', 'licenses', 'images', 'annotations', 'categories'} == coco.dataset.keys()
    ids = coco.getCatIds()
    assert ids == sorted(ids) and ids != list(range(ids[0], ids[-1] + 1))
    names = tuple(category['name'] for category in coco.loadCats(ids))
    assert names == DEMO_THING_CLASSES
    assert {a['category_id'] for a in coco.anns.values()} == set(ids)
    for image in coco.imgs.values():
        path = demo_data.root / 'coco' / split[1] / image['file_name']
        assert path.is_file()
        assert (image['height'], image['width']) == (96, 112)
    for annotation in coco.anns.values():
        x, y, width, height = annotation['bbox']
        assert 0 <= x < x + width <= 112 and 0 <= y < y + height <= 96


def test_ids_of_the_splits_differ(demo_data: DemoData) -> None:
    train, val = (load_coco(demo_data, folder) for _, folder in SPLIT_FOLDERS)
    assert not train.imgs.keys() & val.imgs.keys()
    assert not train.anns.keys() & val.anns.keys()


def test_some_images_hold_no_object(demo_data: DemoData, split) -> None:
    coco = load_coco(demo_data, split[1])
    empty = [key for key in coco.imgs if not coco.imgToAnns[key]]
    assert 0 < len(empty) < 0.2 * len(coco.imgs)


def test_crowds_are_run_lengths_inside_the_image(demo_data: DemoData) -> None:
    coco = load_coco(demo_data, 'train2017')
    crowds = [a for a in coco.anns.values() if a['iscrowd']]
    assert crowds
    for crowd in crowds:
        assert crowd['segmentation']['size'] == [96, 112]
        assert sum(crowd['segmentation']['counts']) == 96 * 112
        mask = coco.annToMask(crowd)
        assert mask.sum() == crowd['area']
        rle = coco_mask.encode(np.asfortranarray(mask))
        assert coco_mask.toBbox(rle).tolist() == crowd['bbox']


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_truth_against_itself_is_perfect(demo_data: DemoData, kind: str) -> None:
    coco = load_coco(demo_data, 'val2017')
    results = []
    for annotation in coco.anns.values():
        if annotation['iscrowd']:
            continue
        found = dict(bbox=annotation['bbox'])
        if kind == 'segm':
            found = dict(segmentation=coco.annToRLE(annotation))
        results.append(
            dict(
                image_id=annotation['image_id'],
                category_id=annotation['category_id'],
                score=1.0,
                **found,
            )
        )
    evaluation = COCOeval(coco, coco.loadRes(results), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_counts_are_those_of_the_files(demo_data: DemoData, split) -> None:
    name = {'training': 'train', 'validation': 'val'}[split[0]]
    coco = load_coco(demo_data, split[1])
    counts = {
        category['name']: len(coco.getAnnIds(catIds=[category['id']]))
        for category in coco.cats.values()
    }
    assert demo_data.instances[name] == counts
    assert demo_data.images[name] == len(coco.imgs)
    assert all(demo_data.images_with[name][c] > 0 for c in DEMO_CLASSES)


def test_complete_data_set_is_kept(tmp_path) -> None:
    first = make_demo_data(tmp_path / 'data', layout='ade', **TINY)
    before = (tmp_path / 'data' / module.MANIFEST).stat().st_mtime_ns
    again = make_demo_data(tmp_path / 'data', layout='ade', **TINY)
    assert first.built and not again.built
    assert (tmp_path / 'data' / module.MANIFEST).stat().st_mtime_ns == before
    assert again.images_with == first.images_with


def test_other_parameters_are_refused_unless_overwritten(tmp_path) -> None:
    root = tmp_path / 'data'
    make_demo_data(root, layout='ade', **TINY)
    with pytest.raises(UserError, match='seed: 0 there, 5 requested'):
        make_demo_data(root, seed=5, layout='ade', **TINY)
    data = make_demo_data(root, seed=5, layout='coco', overwrite=True, **TINY)
    assert data.built and not (root / 'ade').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['data']


def test_foreign_folder_is_never_replaced(tmp_path) -> None:
    (tmp_path / 'holiday.jpg').touch()
    with pytest.raises(UserError, match='not a demo data set'):
        make_demo_data(tmp_path, overwrite=True, **TINY)
    assert (tmp_path / 'holiday.jpg').exists()


def test_incomplete_data_set_is_made_again(tmp_path) -> None:
    root = tmp_path / 'data'
    make_demo_data(root, layout='ade', **TINY)
    lost = next((root / 'ade/images/training').iterdir())
    lost.unlink()
    assert make_demo_data(root, layout='ade', **TINY).built
    assert lost.exists()


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_failure_midway_leaves_nothing(tmp_path, monkeypatch, error) -> None:

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(module, 'write_coco_index', fail)
    with pytest.raises(error):
        make_demo_data(tmp_path / 'data', **TINY)
    assert list(tmp_path.iterdir()) == []


def test_failed_overwrite_keeps_the_old_data(tmp_path, monkeypatch) -> None:
    make_demo_data(tmp_path / 'data', layout='ade', **TINY)
    before = files(tmp_path)
    monkeypatch.setattr(module, 'make_folders', lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_demo_data(tmp_path / 'data', seed=1, overwrite=True, **TINY)
    assert files(tmp_path) == before


def test_leftovers_of_a_killed_run_are_removed(tmp_path) -> None:
    dead = 2**22 + 1  # Above the largest process id that Linux gives.
    leftover = tmp_path / f'data.tmp-{socket.gethostname()}-{dead}'
    (leftover / 'ade').mkdir(parents=True)
    make_demo_data(tmp_path / 'data', layout='ade', **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ['data']


def test_unwritable_place_is_a_plain_message(tmp_path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='data cannot be written: '):
        make_demo_data(tmp_path / 'file' / 'data', **TINY)


def test_mmseg_reads_the_ade_layout(demo_data: DemoData, split) -> None:
    datasets = pytest.importorskip('mmseg.datasets')
    transforms = pytest.importorskip('mmseg.datasets.transforms')
    dataset = datasets.BaseSegDataset(
        data_root=str(demo_data.root / 'ade'),
        data_prefix=dict(img_path=f'images/{split[0]}', seg_map_path=f'annotations/{split[0]}'),
        metainfo=dict(classes=DEMO_CLASSES, palette=DEMO_PALETTE),
        img_suffix='.jpg',
        reduce_zero_label=True,
    )
    assert len(dataset) == len(list((demo_data.root / 'ade/images' / split[0]).iterdir()))
    labels = transforms.LoadAnnotations()(dataset[0])['gt_seg_map']
    assert set(np.unique(labels)) <= {*range(len(DEMO_CLASSES)), 255}


def test_mmdet_reads_the_coco_layout(demo_data: DemoData, split) -> None:
    from mmdet.datasets import CocoDataset

    dataset = CocoDataset(
        data_root=str(demo_data.root / 'coco'),
        ann_file=f'annotations/instances_{split[1]}.json',
        data_prefix=dict(img=split[1]),
        metainfo=dict(classes=DEMO_THING_CLASSES),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[],
    )
    images = load_coco(demo_data, split[1]).imgs
    assert len(dataset) == len(images)
    labels = {
        instance['bbox_label']
        for item in map(dataset.get_data_info, range(len(dataset)))
        for instance in item['instances']
    }
    assert labels == set(range(len(DEMO_THING_CLASSES)))


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(seed=-1), 'seed must be at least 0, not -1'),
        (dict(processes=0), 'processes must be at least 1, not 0'),
        (dict(num_val=0), 'num_val must be at least 1, not 0'),
        (dict(size=(16, 64)), r'at least 32 pixels, not \(16, 64\)'),
        (dict(layout='voc'), "one of ade, coco, both, not 'voc'"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, wrong, message) -> None:
    with pytest.raises(UserError, match=message):
        make_demo_data(tmp_path / 'data', **{**TINY, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_manifest_tells_what_made_the_data(demo_data: DemoData) -> None:
    manifest = json.loads((demo_data.root / module.MANIFEST).read_text())
    assert manifest['parameters'] == demo_data.parameters
    assert manifest['parameters']['size'] == [96, 112]
    assert manifest['parameters']['style']['empty_every'] == 24
