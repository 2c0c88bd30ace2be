"""Image files of any kind to label files."""

import numpy as np
import pytest
import torch
from tiny_segmentors import plain, segmentor

from mmanchor.inference.large import forward, networks, segmenting
from mmanchor.inference.large.ranks import Ranks
from mmanchor.inference.large.readers import open_reader
from mmanchor.inference.large.segmenting import segment_array, segment_file
from mmanchor.utils.errors import UserError

tifffile = pytest.importorskip('tifffile')
PALETTE = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (9, 9, 9), (99, 0, 99)]


@pytest.fixture
def image():
    """RGB, as files hold it."""
    return np.random.default_rng(0).integers(0, 256, (150, 201, 3)).astype(np.uint8)


@pytest.fixture
def model():
    return segmentor('uper', dtype=torch.float32)


def labels_of(model, image):
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    return plain(model, model.data_preprocessor(dict(inputs=[pixels]))['inputs']).argmax(1)[0]


def run(model, path, out, **kwargs):
    return segment_file(model, path, out, PALETTE, 'cpu', Ranks(), **kwargs)


KINDS = dict(
    tiles=dict(tile=(64, 48), compression='zlib'),
    strips=dict(rowsperstrip=7, compression='lzw'),
    plain=dict(),
    big=dict(bigtiff=True, tile=(16, 16)),
)


@pytest.mark.parametrize('kind', KINDS)
def test_files_are_read_by_rows(kind, image, tmp_path):
    path = tmp_path / 'a.tif'
    options = dict(KINDS[kind])
    tifffile.imwrite(path, image, photometric='rgb', **options)
    reader = open_reader(path)
    assert reader.size == (150, 201)
    got = [reader.rows(row, min(row + 31, 150)) for row in range(0, 150, 31)]
    assert np.array_equal(np.concatenate(got)[..., ::-1], image)


def test_gray_and_16_bit(image, tmp_path):
    gray = image[..., 0]
    tifffile.imwrite(tmp_path / 'a.tif', gray.astype(np.uint16) * 257, tile=(16, 16))
    assert np.array_equal(
        open_reader(tmp_path / 'a.tif').rows(3, 9), gray[3:9, :, None].repeat(3, 2)
    )


def test_labels_are_those_of_the_plain_forward(model, image, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, 'BAND_NUMBERS', 10_000)
    path, out = tmp_path / 'a.tif', tmp_path / 'out/a.tif'
    tifffile.imwrite(path, image, photometric='rgb', tile=(64, 64))
    assert run(model, path, out, chunk_tokens=30) == {}
    want = labels_of(model, image).numpy()
    with tifffile.TiffFile(out) as file:
        page = file.pages[0]
        assert np.array_equal(page.asarray(), want)
        assert page.is_tiled
        assert tuple(page.colormap[:, 1] // 257) == PALETTE[1]
    assert sorted(each.name for each in out.parent.iterdir()) == ['a.tif', 'a_preview.png']
    assert np.array_equal(segment_array(model, image[..., ::-1], 'cpu'), want)


def test_overviews_halve(image, tmp_path):
    from mmanchor.inference.large.label_files import write_tiff

    labels = np.random.default_rng(0).integers(0, 5, (1200, 700)).astype(np.uint8)
    write_tiff(tmp_path / 'a.tif', labels, PALETTE)
    with tifffile.TiffFile(tmp_path / 'a.tif') as file:
        shapes = [page.shape for page in file.pages]
        assert shapes == [(1200, 700), (600, 350), (300, 175)]
        assert np.array_equal(file.pages[1].asarray(), labels[::2, ::2])


def test_the_georeference_is_kept(model, image, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    path, out = tmp_path / 'a.tif', tmp_path / 'out/a.tif'
    place = rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 5_000_000)
    options = dict(driver='GTiff', height=150, width=201, count=3, dtype='uint8', tiled=True)
    options |= dict(blockxsize=64, blockysize=64, interleave='pixel', photometric='RGB')
    with rasterio.open(path, 'w', crs='EPSG:32633', transform=place, **options) as file:
        file.write(image.transpose(2, 0, 1))
    run(model, path, out)
    with rasterio.open(out) as file:
        assert (file.crs.to_epsg(), file.transform) == (32633, place)
        assert np.array_equal(file.read(1), labels_of(model, image).numpy())
        assert file.colormap(1)[2] == (0, 0, 250, 255)


@pytest.mark.parametrize('stop', ['trunk', 'labels'])
def test_a_killed_run_goes_on(stop, model, image, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, 'BAND_NUMBERS', 10_000)
    path, out = tmp_path / 'a.tif', tmp_path / 'out/a.tif'
    tifffile.imwrite(path, image, photometric='rgb', tile=(64, 64))

    def killed(items, description, total=None):
        for count, item in enumerate(items):
            if description.startswith(stop) and count > total // 2:
                raise KeyboardInterrupt
            yield item

    steps = []

    def counted(items, description, total=None):
        items = list(items)
        steps.append((len(items), total))
        return items

    with pytest.raises(KeyboardInterrupt):
        run(model, path, out, chunk_tokens=30, track=killed)
    assert not out.exists()
    run(model, path, out, chunk_tokens=30, track=counted)
    assert np.array_equal(tifffile.imread(out), labels_of(model, image).numpy())
    whole = forward.trunk_work(model.backbone, image.shape[:2], 30)
    assert steps[0][0] == steps[0][1] == (whole // 2 if stop == 'trunk' else 0)


def test_other_weights_do_not_go_on(model, image, tmp_path):
    path, out = tmp_path / 'a.tif', tmp_path / 'out/a.tif'
    tifffile.imwrite(path, image, photometric='rgb', tile=(64, 64))

    def killed(items, description, total=None):
        for item in items:
            yield item
            if description.startswith('labels'):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, path, out, track=killed)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    run(model, path, out)
    assert np.array_equal(tifffile.imread(out), labels_of(model, image).numpy())


def test_a_torn_tile_is_named_and_unlabeled(model, image, tmp_path):
    path, out = tmp_path / 'a.tif', tmp_path / 'out/a.tif'
    tifffile.imwrite(path, image, photometric='rgb', tile=(64, 64), compression='zlib')
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[5]
    with open(path, 'r+b') as file:
        file.seek(offset)
        file.write(b'\xff' * 30)
    [(part, reason)] = run(model, path, out).items()
    assert part == 'rows 64 to 127, columns 64 to 127'
    assert reason.startswith('row 1, column 1: ')
    labels = tifffile.imread(out)
    unlabeled = np.zeros(labels.shape, bool)
    unlabeled[64:128, 64:128] = True
    assert np.array_equal(labels == 255, unlabeled)


def test_what_does_not_fit_is_said_before(model, image, tmp_path, monkeypatch):
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, image, photometric='rgb')
    monkeypatch.setattr(segmenting, 'free_memory', lambda: 10**9)
    with pytest.raises(UserError, match=r'201 x 150 pixels need about 1\.5 GB'):
        run(model, path, tmp_path / 'out.tif')
    with pytest.raises(UserError, match='there is no image'):
        open_reader(tmp_path / 'b.tif')
    for data in (b'no tiff', b'II*\0\0\0\0\0'):  # the second has no image
        path.write_bytes(data)
        with pytest.raises(UserError, match='cannot be read'):
            open_reader(path)


def test_volumes_and_empty_tiles_are_refused(tmp_path):
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, np.zeros((5, 64, 64), np.uint8), volumetric=True, tile=(16, 16, 16))
    with pytest.raises(UserError, match='a volume of 5 layers'):
        open_reader(path)
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(16, 16))
    with tifffile.TiffFile(path, mode='r+') as file:
        file.pages[0].tags['TileWidth'].overwrite(0)
    with pytest.raises(UserError, match='a size of 0'):
        open_reader(path)
