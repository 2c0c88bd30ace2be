"""One image on two processes."""

from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from tiny_segmentors import plain, segmentor

from mmanchor.inference.large import networks
from mmanchor.inference.large.ranks import DistributedRanks, Ranks
from mmanchor.inference.large.segmenting import segment_file
from mmanchor.utils.errors import UserError

HEADS, ANCHORS, WIDTH, LAYERS = 2, 5, 16, 4


def work(rank, folder):
    dist.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=2, timeout=timedelta(minutes=5)
    )
    networks.BAND_NUMBERS = 10_000
    ranks = DistributedRanks()
    model, path = segmentor('uper', dtype=torch.float32), folder / 'a.tif'
    segment_file(model, path, folder / 'out.tif', [(9, 9, 9)] * 5, 'cpu', ranks, chunk_tokens=30)
    (folder / f'bytes{rank}').write_text(str(ranks.bytes_sent))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_labels_of_one(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    image = np.random.default_rng(0).integers(0, 256, (150, 201, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / 'a.tif', image, photometric='rgb', tile=(64, 64))
    multiprocessing.spawn(work, (tmp_path,), nprocs=2)
    model = segmentor('uper', dtype=torch.float32)
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    x = model.data_preprocessor(dict(inputs=[pixels]))['inputs']
    assert np.array_equal(tifffile.imread(tmp_path / 'out.tif'), plain(model, x).argmax(1)[0])
    # heads x M x (C + 1) numbers a layer, in float64, whatever the size of the image.
    want = LAYERS * HEADS * ANCHORS * (WIDTH + 1) * 8
    assert [(tmp_path / f'bytes{rank}').read_text() for rank in (0, 1)] == [str(want)] * 2


class Two(Ranks):
    """This process, and one that has no memory."""

    def gather(self, value):
        """What each has."""
        return [value, 'the other has no memory']


def test_an_error_of_one_process_ends_all(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    tifffile.imwrite(tmp_path / 'a.tif', np.zeros((40, 40, 3), np.uint8), photometric='rgb')
    model = segmentor('uper', dtype=torch.float32)
    for name, message in (('a.tif', 'the other has no memory'), ('b.tif', 'there is no image')):
        with pytest.raises(UserError, match=message):
            segment_file(model, tmp_path / name, tmp_path / 'out.tif', [(9, 9, 9)], 'cpu', Two())
