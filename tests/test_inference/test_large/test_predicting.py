"""``mmanchor predict --exact`` and ``--tile``."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from PIL import Image

from mmanchor.cli.main import main
from mmanchor.inference.large.tiled_detector import TiledDetector, merge_boxes, tile_corners
from mmanchor.inference.loading import load
from mmanchor.inference.model import Model
from mmanchor.inference.options import PredictOptions
from mmanchor.registry import MODELS
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError

CONFIG = """
_base_ = ['mmanchor::semantic_fpn/fpn_anchorformer-t_8xb4-40k_ade20k-512.py']
arch = dict(_delete_=True, embed_dims=16, num_layers=4, num_heads=2, mlp_ratio=2)
model = dict(
    backbone=dict(arch=arch, img_size=64, out_indices=(0, 1, 2, 3)),
    neck=[
        dict(type='mmanchor.SimpleFeaturePyramid', in_channels=16, out_channels=(8, 8, 16, 16)),
        dict(type='FPN', in_channels=[8, 8, 16, 16], out_channels=8, num_outs=4)],
    decode_head=dict(in_channels=[8] * 4, channels=8, num_classes=4))
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
"""


@pytest.fixture
def files(tmp_path):
    """A config, a checkpoint and an image."""
    pytest.importorskip('tifffile')
    config, weights, image = (tmp_path / name for name in ('c.py', 'c.pth', 'photo.png'))
    config.write_text(CONFIG)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        module = MODELS.build(load_config(config).model)
    for param in module.parameters():
        torch.nn.init.normal_(param, std=0.3)
    torch.save(dict(state_dict=module.state_dict(), meta={}), weights)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(image)
    return config, weights, image


def predict(files, out, *options):
    return main(['predict', *map(str, files), '--out-dir', str(out), '--device', 'cpu', *options])


def test_the_command_writes_the_same_labels(files, tmp_path, capsys):
    assert predict(files, tmp_path / 'plain') == 0
    assert predict(files, tmp_path / 'exact', '--exact') == 0
    want = np.asarray(Image.open(tmp_path / 'plain/masks/photo.png'))
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'exact/masks/photo.tif')), want)
    assert Image.open(tmp_path / 'exact/masks/photo_preview.png').size == (130, 90)
    assert len(np.unique(want)) > 1


def test_what_does_not_fit_goes_in_bands_by_itself(files, tmp_path, monkeypatch, capsys):
    reason = '130 x 90 pixels need about 9 GB of memory'
    monkeypatch.setattr(Model, 'too_large', lambda self, path: reason)
    assert predict(files, tmp_path / 'out', '--no-exact') == 1
    assert reason in capsys.readouterr().err
    assert predict(files, tmp_path / 'out') == 0
    assert 'whole image at its own size' in capsys.readouterr().err
    assert (tmp_path / 'out/masks/photo.tif').is_file()


def test_images_of_one_name_in_two_folders(files, tmp_path, monkeypatch, capsys):
    config, weights, image = files
    for folder in ('a', 'b'):
        path = tmp_path / 'photos' / folder / image.name
        path.parent.mkdir(parents=True)
        path.write_bytes(image.read_bytes())
    monkeypatch.setattr(Model, 'too_large', lambda self, path: 'too large')
    for options in ((), ('--exact',)):
        out = tmp_path / f'out{len(options)}'
        assert predict((config, weights, tmp_path / 'photos'), out, *options) == 0
        printed = capsys.readouterr()
        assert '2 images' in printed.out and 'passed over' not in printed.out + printed.err
        for name in ('a/photo', 'b/photo'):
            assert f'note: {name}.png: labels of the whole image' in printed.err
            assert (out / 'masks' / f'{name}.tif').is_file()


@pytest.mark.parametrize('option', [dict(opacity=0.5), dict(with_labels=True), dict(masks=False)])
def test_options_that_would_change_nothing_are_refused(option):
    PredictOptions(**option)
    with pytest.raises(UserError, match='exact writes masks and draws nothing'):
        PredictOptions(exact=True, **option)


def test_the_method_gives_the_same_labels(files):
    config, weights, image = files
    model = load(config, weights, 'cpu')
    [plain], [exact] = model.predict(image), model.predict(image, exact=True)
    assert np.array_equal(plain.mask, exact.mask)
    assert exact.draw().shape == (90, 130, 3)


def test_other_models_are_refused(tiny, seg_checkpoint, det_checkpoint):
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(UserError, match='backbone must be AnchorFormer'):
        load(tiny / 'seg.py', seg_checkpoint, 'cpu').predict(image, exact=True)
    with pytest.raises(UserError, match='exact is for segmentation'):
        load(tiny / 'det.py', det_checkpoint, 'cpu').predict(image, exact=True)


def test_tiles_cover_the_image():
    seen = np.zeros((50, 33), int)
    for y, x in tile_corners(seen.shape, 16, 0.25):
        assert y + 16 <= 50 and x + 16 <= 33
        seen[y : y + 16, x : x + 16] += 1
    assert seen.min() > 0
    assert list(tile_corners((5, 5), 16, 0.25)) == [(0, 0)]


def test_boxes_of_other_classes_stay():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    scores, labels = torch.tensor([0.5, 0.6]), torch.tensor([0, 1])
    assert len(merge_boxes(InstanceData(bboxes=boxes, scores=scores, labels=labels))) == 2


def test_boxes_of_tiles_are_moved_and_joined(tiny, det_checkpoint, monkeypatch):
    model = load(tiny / 'det.py', det_checkpoint, 'cpu')
    image = np.zeros((64, 96, 3), np.uint8)
    whole = model.predict(image[:32, :32], score_thr=0)[0]
    tiled = TiledDetector.of(model, 32, 0.0, batch_size=4)
    found = tiled.predict(image, score_thr=0)[0]
    # The same content in each of 2 x 3 tiles.
    assert len(whole)
    best = found.boxes[np.isclose(found.scores, whole.scores[0], atol=1e-6)]
    for y in (0, 32):
        for x in (0, 32, 64):
            moved = whole.boxes[0] + [x, y, x, y]
            assert np.isclose(best, moved, atol=1e-3).all(1).any()
    assert found.draw().shape == (64, 96, 3)


def test_tiles_by_the_command(tiny, det_checkpoint, tmp_path, capsys):
    image = tmp_path / 'a.png'
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(image)
    files = tiny / 'det.py', det_checkpoint, image
    assert predict(files, tmp_path / 'out', '--tile', '32', '--score-thr', '0') == 0
    assert (tmp_path / 'out/results.json').is_file()
    assert predict(files, tmp_path / 'out', '--overlap', '0.5') == 1
    assert 'overlap must be between 0 and 0.9, with tile' in capsys.readouterr().err
