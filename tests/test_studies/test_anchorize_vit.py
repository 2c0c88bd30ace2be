"""The study of an anchorized ViT runs from files, and its parts are right."""

import sys

import numpy as np
import pytest
from deit_files import timm_vit
from PIL import Image
from safetensors.torch import save_file

from mmanchor.utils.files import read_json
from tools.studies import anchorize_vit


def test_the_interval_of_a_share():
    low, high = anchorize_vit.interval(0, 10)
    assert low == pytest.approx(0) and high == pytest.approx(27.75, abs=0.01)
    low, high = anchorize_vit.interval(250, 500)
    assert low + high == pytest.approx(100) and high == pytest.approx(54.4, abs=0.1)


@pytest.mark.slow
def test_a_curve_from_files(tmp_path, monkeypatch):
    photos = tmp_path / 'photos'
    photos.mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (60, 70, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f'{index}.png')
    listing = tmp_path / 'val.txt'
    listing.write_text('0.png 1\n1.png 4\n')
    vit = timm_vit(embed_dim=64, num_heads=1)
    save_file(vit.state_dict(), tmp_path / 'vit.safetensors')
    words = f"""study --weights {tmp_path}/vit.safetensors --images {photos} --val {photos}
        --list {listing} --out {tmp_path}/out --name a --anchors 4 --align 2 --distill 2
        --batch-size 2 --points 1 --without anchor_links depthwise"""
    monkeypatch.setattr(sys, 'argv', words.split())
    anchorize_vit.main()
    made = read_json(tmp_path / 'out' / 'a.json')
    assert [row['stage'] for row in made['rows']] == ['start', 'align', 'distill']
    assert [row['views'] for row in made['rows']] == [0, 4, 8]
    assert made['learned_from']['images'] == 3 and made['scored_on']['images'] == 2
    assert str(tmp_path) not in str(made)
    assert {row['top1'] for row in made['rows']} <= {0, 50, 100}
