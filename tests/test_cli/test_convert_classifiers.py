"""``mmanchor convert`` of classifiers: .pth, .safetensors, and bad files."""

import argparse

import numpy as np
import pytest
import torch
from deit_files import (
    SOFTMAX,
    classifier,
    classifier_config,
    largest_difference,
    released_anchor_deit,
    timm_vit,
)
from mmengine.config import Config
from mmengine.runner import load_checkpoint as load_into
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet18

from mmanchor.cli.main import main
from mmanchor.compat import load_checkpoint

CONFIGS = {
    'softmax': dict(attention=SOFTMAX, distilled=True),
    'learned': dict(attention='learned', distilled=True, num_anchors=6),
    'per_head': dict(
        attention=dict(
            type='mmanchor.LearnedAnchorAttention',
            per_head_anchors=True,
            qkv_bias=True,
            depthwise=True,
        ),
        distilled=True,
        num_anchors=6,
    ),
}
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=64, edge='short'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]


@pytest.fixture(scope='module')
def theirs():
    torch.manual_seed(0)
    return timm_vit(distilled=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory, theirs):
    """Configs, ``images`` and the weights in both formats; only read it."""
    folder = tmp_path_factory.mktemp('convert')
    for name, options in CONFIGS.items():
        Config(
            dict(
                default_scope='mmpretrain',
                model=classifier_config(**options),
                data_preprocessor=dict(num_classes=5, mean=[120.0] * 3, std=[60.0] * 3),
                test_dataloader=dict(dataset=dict(type='ImageNet', pipeline=PIPELINE)),
            )
        ).dump(folder / f'{name}.py')
    (folder / 'images').mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (3, 70, 90, 3), 'u1')
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f'images/{i}.png')
    options = argparse.Namespace(model='deit', lr=5e-4)
    torch.save(dict(model=theirs.state_dict(), optimizer={}, args=options), folder / 'a.pth')
    save_file(theirs.state_dict(), folder / 'a.safetensors')
    torch.save(dict(model=released_anchor_deit(6).state_dict()), folder / 'r.pth')
    return folder


def convert(folder, source, out, *words, kind='deit', config='softmax'):
    return main(
        [
            'convert',
            kind,
            str(source),
            str(out),
            '--config',
            str(folder / f'{config}.py'),
            *map(str, words),
        ]
    )


@pytest.mark.parametrize('out', ('b.pth', 'b.safetensors'))
@pytest.mark.parametrize('source', ('a.pth', 'a.safetensors'))
def test_a_classifier_is_converted(folder, theirs, tmp_path, capsys, source, out):
    assert convert(folder, folder / source, tmp_path / out) == 0
    text = capsys.readouterr().out
    assert f'{len(theirs.state_dict())} weights of' in text
    # A .safetensors file holds weights alone.
    assert ('what a training run keeps' in text) == source.endswith('pth')
    ours = classifier(**CONFIGS['softmax'])
    load_into(ours, str(tmp_path / out), strict=True)
    assert largest_difference(ours, theirs) < 2e-5
    assert [path.name for path in tmp_path.iterdir()] == [out]


def test_the_released_classifier_is_converted(folder, tmp_path):
    out = tmp_path / 'b.pth'
    assert convert(folder, folder / 'r.pth', out, kind='anchor-deit', config='learned') == 0
    assert load_checkpoint(out)['meta']['converted']['kind'] == 'anchor-deit'


@pytest.mark.parametrize('config, shape', [('learned', (6, 16)), ('per_head', (3, 6, 16))])
def test_anchors_come_from_queries_or_images(folder, tmp_path, capsys, config, shape):
    anchors = []
    for i, words in enumerate(
        ((), ('--anchors-from', folder / 'images'), ('--anchors-from', folder / 'images/0.png'))
    ):
        out = tmp_path / f'{i}.pth'
        assert convert(folder, folder / 'a.pth', out, *words, config=config) == 0
        text = capsys.readouterr().out
        assert ('given images' if words else 'random tokens') in text
        state = load_checkpoint(out)['state_dict']
        anchors.append(state['backbone.layers.1.attn.anchors'])
        assert anchors[-1].shape == shape
    assert not torch.equal(anchors[0], anchors[1])
    assert not torch.equal(anchors[1], anchors[2])


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return self.marker.touch, ()


def bad_files(folder, marker):
    whole = (folder / 'a.safetensors').read_bytes()
    state = torch.load(folder / 'a.pth', weights_only=False)['model']
    less = {k: v for k, v in state.items() if k != 'norm.weight'}
    wide = timm_vit(True, embed_dim=24).state_dict()
    return {
        'missing file': ('a.pth', None, 'is no file'),
        'half a .pth': ('a.pth', (folder / 'a.pth').read_bytes()[:20000], 'cut short'),
        'half a .safetensors': ('a.safetensors', whole[:9000], 'cut short'),
        'wrong header': ('a.safetensors', b'\xff' * 8 + whole[8:], 'cannot be read as'),
        'text': ('a.pth', b'<html>', 'damaged'),
        'code': ('a.pth', dict(state, code=Payload(marker)), 'it wants'),
        'no dict': ('a.pth', [torch.ones(1)], 'holds list'),
        'no weights': ('a.pth', dict(model={}), 'holds no weights'),
        'other architecture': ('a.pth', resnet18(num_classes=5).state_dict(), 'left over'),
        'other size': ('a.pth', wide, '(1, 1, 24) in'),
        'missing key': ('a.pth', less, 'missing for the model: 1 (backbone.'),
        'extra key': ('a.pth', dict(state, more=torch.ones(1)), 'left over in the file: 1'),
        'no tensor': ('a.pth', {**state, 'norm.weight': 'text'}, 'norm.weight: str in the file'),
    }


CASES = (
    'missing file',
    'half a .pth',
    'half a .safetensors',
    'wrong header',
    'text',
    'code',
    'no dict',
    'no weights',
    'other architecture',
    'other size',
    'missing key',
    'extra key',
    'no tensor',
)


@pytest.mark.parametrize('config', ('softmax', 'learned'))
@pytest.mark.parametrize('case', CASES)
def test_bad_files_leave_nothing_behind(folder, tmp_path, capsys, case, config):
    marker = tmp_path / 'ran'
    name, content, message = bad_files(folder, marker)[case]
    source = tmp_path / name
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content is not None:
        torch.save(content, source)
    assert convert(folder, source, tmp_path / 'new/b.pth', config=config) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and str(source) in lines[0]
    assert message in lines[0]
    assert set(tmp_path.iterdir()) <= {source}


@pytest.mark.parametrize(
    'words, config, message',
    [
        (('--anchors-from', 'gone'), 'learned', "no image, folder or video 'gone"),
        (('--anchors-from', '{empty}'), 'learned', 'holds no image'),
        (('--anchors-from', '{bad}'), 'learned', 'bad.png cannot be read as an'),
        (('--anchors-from', '{images}'), 'softmax', 'config with learned anchors'),
        (
            ('--cfg-options', 'model.backbone.num_anchors=0'),
            'learned',
            'num_anchors must be at least 1',
        ),
        (
            ('--cfg-options', 'model.head.num_classes=7'),
            'softmax',
            'give --cfg-options model.head.num_classes=5',
        ),
    ],
)
def test_mistakes_are_named(folder, tmp_path, capsys, words, config, message):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'bad.png').write_bytes(b'no image')
    paths = dict(empty=tmp_path / 'empty', bad=tmp_path / 'bad.png', images=folder / 'images')
    words = [word.format(**paths) for word in words]
    out = tmp_path / 'b.pth'
    assert convert(folder, folder / 'a.pth', out, *words, config=config) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not out.exists()


def test_other_kinds_take_no_images(folder, tmp_path, capsys):
    out = tmp_path / 'b.pth'
    words = '--anchors-from', folder / 'images'
    assert convert(folder, folder / 'r.pth', out, *words, kind='anchor-deit', config='learned') == 1
    assert 'one of the kinds deit, levit; got' in capsys.readouterr().err
    assert not out.exists()
