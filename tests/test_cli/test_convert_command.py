"""``mmanchor convert`` writes a checkpoint, or one message and no file."""

import pickle

import numpy as np
import pytest
import torch
from mmdet.apis import init_detector
from paddle_picodet import PaddlePicoDet

from mmanchor.cli.main import main
from mmanchor.compat import load_checkpoint
from mmanchor.models import AnchorESNet, ESNet

CONFIG = """
default_scope = 'mmdet'
model = dict(
    type='mmanchor.PicoDet',
    data_preprocessor=dict(type='DetDataPreprocessor'),
    backbone=dict(type='mmanchor.{backbone}', scale=.25, {more}),
    neck=dict(
        type='mmanchor.CSPPAN', in_channels=(32, 64, 128), out_channels=16),
    bbox_head=dict(
        type='mmanchor.PicoDetHead', num_classes=80, in_channels=16,
        feat_channels=16, stacked_convs=2),
    test_cfg=dict(
        nms_pre=1000, score_thr=.025, max_per_img=100,
        nms=dict(type='nms', iou_threshold=.6)))
test_dataloader = dict(dataset=dict(type='CocoDataset'))
"""


class Tensor:
    """Pickles as newer versions of Paddle pickle a tensor."""

    def __init__(self, name, array):
        self.pair = name, array

    def __reduce__(self):
        return tuple, (self.pair,)


@pytest.fixture(scope='module')
def paddle():
    torch.manual_seed(0)
    return PaddlePicoDet()


@pytest.fixture(scope='module')
def folder(tmp_path_factory, paddle):
    """``s.pdparams``, ``esnet.py`` and ``anchor.py``; only read it."""
    folder = tmp_path_factory.mktemp('convert')
    with (folder / 's.pdparams').open('wb') as file:
        pickle.dump(paddle.saved(), file, protocol=2)
    text = CONFIG.format(backbone='ESNet', more='')
    (folder / 'esnet.py').write_text(text)
    text = CONFIG.format(backbone='AnchorESNet', more='num_anchors=4, head_dims=32')
    (folder / 'anchor.py').write_text(text)
    return folder


def convert(folder, *words, config='esnet.py', kind='paddledet-picodet'):
    config = str(folder / config)
    return main(['convert', kind, *map(str, words), '--config', config])


@torch.no_grad()
@pytest.mark.parametrize('suffix', ('.pth', '.safetensors'))
def test_a_detector_is_converted(folder, paddle, tmp_path, capsys, suffix):
    out = tmp_path / f'new/s{suffix}'
    assert convert(folder, folder / 's.pdparams', out) == 0
    text = capsys.readouterr().out
    assert 'converted' in text and '575' in text and 'missing' not in text
    model = init_detector(str(folder / 'esnet.py'), str(out), device='cpu')
    assert model.dataset_meta['classes'][0] == 'person'
    image = torch.rand(1, 3, 64, 64)
    logits = zip(*model.bbox_head(model.neck(model.backbone(image))), strict=True)
    torch.testing.assert_close(
        [torch.cat(level, 1) for level in logits], paddle(image)[2], rtol=0, atol=1e-5
    )
    meta = load_checkpoint(out)['meta']['converted']
    assert meta == dict(kind='paddledet-picodet', source='s.pdparams', config='esnet', missing=[])
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize('protocol', (2, 3, 4))
def test_every_way_of_saving_gives_the_same(folder, paddle, tmp_path, protocol):
    source = tmp_path / 's.pdparams'
    tensors = {name: Tensor(name, array) for name, array in paddle.arrays.items()}
    source.write_bytes(pickle.dumps(tensors, protocol))
    assert convert(folder, source, tmp_path / 'a.pth') == 0
    assert convert(folder, folder / 's.pdparams', tmp_path / 'b.pth') == 0
    first, second = (torch.load(tmp_path / name)['state_dict'] for name in ('a.pth', 'b.pth'))
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


@torch.no_grad()
@pytest.mark.parametrize('config', ('esnet.py', 'anchor.py'))
def test_a_backbone_initializes_both_of_ours(folder, paddle, tmp_path, config):
    source, out = tmp_path / 'e.pdparams', tmp_path / 'e.pth'
    source.write_bytes(pickle.dumps(paddle.classifier(), 4))
    assert convert(folder, source, out, config=config, kind='paddledet-esnet') == 0
    image = torch.rand(1, 3, 64, 64)
    maps = paddle(image)[0]
    init_cfg = dict(type='Pretrained', checkpoint=str(out))
    for model, kept in (
        (ESNet(0.25, init_cfg=init_cfg), 3),
        (AnchorESNet(0.25, head_dims=32, init_cfg=init_cfg), 2),
    ):
        model.init_weights()
        torch.testing.assert_close(list(model.eval()(image))[:kept], maps[:kept], rtol=0, atol=1e-5)


def test_what_does_not_fit_is_an_error_unless_allowed(folder, paddle, tmp_path, capsys):
    state = paddle.saved()
    del state['head.head_cls0.bias']
    state['extra'] = np.zeros(1)
    state['head.head_cls1.bias'] = np.zeros(3, 'f4')
    source, out = tmp_path / 'a.pdparams', tmp_path / 'a.pth'
    source.write_bytes(pickle.dumps(state, 4))
    assert convert(folder, source, out) == 1
    message = capsys.readouterr().err
    for part in (
        'left over in the file: 1 (extra)',
        'missing for the model: 1 (bbox_head.preds.0.bias)',
        '1 (head.head_cls1.bias: (3,) in the file, (112,)',
    ):
        assert part in message
    assert not out.exists()
    assert convert(folder, source, out, '--no-strict') == 0
    output = capsys.readouterr().out
    for part in (
        'left over: extra',
        'missing: bbox_head.preds.0.bias',
        'not fitting: head.head_cls1.bias',
    ):
        assert part in output
    written = torch.load(out)
    assert len(written['state_dict']) == 573 + 108
    assert written['meta']['converted']['missing'] == ['bbox_head.preds.0.bias']


def test_nothing_that_fits_is_an_error_even_if_allowed(folder, tmp_path, capsys):
    source = tmp_path / 'a.pdparams'
    source.write_bytes(pickle.dumps(dict(a=np.ones(1)), 4))
    assert convert(folder, source, tmp_path / 'a.pth', '--no-strict') == 1
    assert 'does not fit the PicoDet' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return self.marker.touch, ()


@pytest.mark.parametrize(
    'data, message',
    [
        (None, 'No such file'),
        (b'', 'is damaged, cut short'),
        (b'\x80\x04}q', 'is damaged, cut short'),
        (pickle.dumps([1]), 'holds list'),
        (pickle.dumps(dict(a=np.ones(1, object)), 4), 'wants'),
    ],
)
def test_bad_files_leave_nothing_behind(folder, tmp_path, capsys, data, message):
    source = tmp_path / 'a.pdparams'
    if data is not None:
        source.write_bytes(data)
    assert convert(folder, source, tmp_path / 'new/a.pth') == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0] and str(source) in lines[0]
    assert set(tmp_path.iterdir()) <= {source}


def test_code_in_a_file_never_runs(folder, paddle, tmp_path, capsys):
    marker, source = tmp_path / 'ran', tmp_path / 'a.pdparams'
    state = dict(paddle.arrays, bad=Payload(marker))
    for protocol in (2, 4):
        source.write_bytes(pickle.dumps(state, protocol))
        assert convert(folder, source, tmp_path / 'a.pth') == 1
        assert 'pathlib.PosixPath' in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    'kind, out, config, message',
    [
        ('timm', 'a.pth', 'esnet.py', 'choose one of paddledet-esnet'),
        ('paddledet-picodet', 'a.bin', 'esnet.py', '.pth or .safetensors'),
        ('paddledet-picodet', '', 'esnet.py', '.pth or .safetensors'),
        ('paddledet-picodet', 'a.pth', 'gone.py', 'gone.py'),
        ('paddledet-picodet', 'a.pth', 'anchor.py', 'stages.2.down'),
        ('paddledet-picodet', 's.pdparams/a.pth', 'esnet.py', 'folder of DST'),
    ],
)
def test_mistakes_are_named(folder, tmp_path, capsys, kind, out, config, message):
    tmp_path.joinpath('s.pdparams').write_bytes(folder.joinpath('s.pdparams').read_bytes())
    assert convert(folder, tmp_path / 's.pdparams', tmp_path / out, kind=kind, config=config) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ['s.pdparams']


def test_esnet_needs_a_config_with_one(folder, tmp_path, capsys):
    assert (
        convert(
            folder,
            folder / 's.pdparams',
            tmp_path / 'a.pth',
            '--cfg-options',
            'model.backbone.type=mmdet.ResNet',
            kind='paddledet-esnet',
        )
        == 1
    )
    assert "'mmdet.ResNet'" in capsys.readouterr().err
