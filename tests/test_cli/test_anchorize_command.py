"""`mmanchor anchorize` from a file of a ViT to models that load."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from deit_files import TIMM, timm_vit
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from safetensors.torch import save_file

import mmanchor
from mmanchor.cli.main import main
from mmanchor.compat.checkpoints import load_checkpoint
from mmanchor.models import LearnedAnchorAttention, SoftmaxAttention


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f'{index}.png')
    return folder


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'vit.safetensors'
    save_file(timm_vit().state_dict(), path)
    return path


def anchorize(source, photos, out, *more, steps=1):
    words = ('--align-steps', str(steps), '--distill-steps', str(steps), '--batch-size', '2')
    words += ('--heads', str(TIMM['num_heads']), '--anchors', '6', '--device', 'cpu')
    given = ('--images', str(photos), '--out', str(out))
    return main(['anchorize', str(source), *given, *words, *more])


def test_it_gives_a_classifier_and_a_backbone(source, photos, tmp_path, capsys):
    out = tmp_path / 'new' / 'anchored.safetensors'
    assert anchorize(source, photos, out, '--layers', '0', '--normalization', 'half') == 0
    printed = capsys.readouterr()
    assert 'align 1/1: mean error' in printed.err and 'distill 1/1: features' in printed.err
    assert 'backbone.layers.0.attn' in printed.out and 'layers.1' not in printed.out
    assert sorted(path.name for path in out.parent.iterdir()) == [
        'anchored.py',
        'anchored.safetensors',
    ]
    made = load_checkpoint(out)['meta']['anchorized']
    assert made['source'] == 'vit.safetensors' and made['layers'] == '0'
    assert made['align'] == dict(steps=1, lr=2e-3)
    assert list(made['errors']) == ['backbone.layers.0.attn']

    model = mmanchor.load(out.with_suffix('.py'), out, device='cpu')
    assert model.module.data_preprocessor.mean.flatten().tolist() == [127.5] * 3
    (result,) = model.predict(np.zeros((50, 70, 3), np.uint8))
    assert len(result.scores) == 5

    cfg = Config.fromfile(str(out.with_suffix('.py'))).model.backbone
    cfg.update(extra_tokens=(), out_type='featmap', img_size=96)
    cfg.init_cfg = dict(type='Pretrained', checkpoint=str(out), prefix='backbone.')
    init_default_scope('mmseg')
    backbone = MODELS.build(cfg)
    backbone.init_weights()
    assert [type(layer.attn) for layer in backbone.layers] == [
        LearnedAnchorAttention,
        SoftmaxAttention,
    ]
    for name, value in backbone.state_dict().items():
        if name != 'pos_embed':
            assert torch.equal(value, load_checkpoint(out)['state_dict'][f'backbone.{name}'])
    assert backbone(torch.rand(1, 3, 80, 112))[0].shape == (1, 48, 5, 7)


def test_a_stopped_run_continues(source, photos, tmp_path, monkeypatch, capsys):
    whole, out = tmp_path / 'whole.safetensors', tmp_path / 'out.safetensors'
    assert anchorize(source, photos, whole, steps=2) == 0
    monkeypatch.setattr('mmanchor.anchorization.stages.SAVE_EVERY', 0.0)
    with monkeypatch.context() as patch:
        patch.setattr('mmanchor.anchorization.distillation.Distill.backward', _interrupted)
        assert anchorize(source, photos, out, steps=2) == 130
    assert out.with_suffix('.state.pth').exists() and not out.exists()
    capsys.readouterr()
    assert anchorize(source, photos, out, steps=2) == 1
    assert 'continue by --resume, or remove it' in capsys.readouterr().err
    assert anchorize(source, photos, out, '--resume', steps=2) == 0
    assert 'align 1/2' not in capsys.readouterr().err
    assert not out.with_suffix('.state.pth').exists()
    wanted, got = (load_checkpoint(path)['state_dict'] for path in (whole, out))
    assert all(torch.equal(value, got[name]) for name, value in wanted.items())


def _interrupted(*args):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_two_processes_learn_from_the_views_of_both(source, photos, tmp_path):
    out = tmp_path / 'out.safetensors'
    launcher = ('torch.distributed.run', '--standalone', '--nproc-per-node', '2', '-m', 'mmanchor')
    words = f"""anchorize {source} --images {photos} --out {out} --heads 3 --anchors 6
        --align-steps 2 --distill-steps 2 --batch-size 2 --device cpu"""
    run = subprocess.run(
        [sys.executable, '-m', *launcher, *words.split()], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stderr.count('align 2/2') == 1  # one of them speaks
    assert load_checkpoint(out)['meta']['anchorized']['processes'] == 2


def test_gradients_are_averaged_over_processes(tmp_path):
    import torch.distributed as dist

    from mmanchor.anchorization import stages

    param = torch.nn.Parameter(torch.zeros(2))
    param.grad = torch.tensor([2.0, 4.0])
    store = f'file://{tmp_path}/store'
    dist.init_process_group('gloo', init_method=store, rank=0, world_size=1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stages, 'rank_and_world', lambda: (0, 2))
            stages._average_gradients([param, torch.nn.Parameter(torch.zeros(1))])
    finally:
        dist.destroy_process_group()
    assert param.grad.tolist() == [1.0, 2.0]


def test_a_name_of_timm_with_its_file(photos, tmp_path, capsys):
    out = tmp_path / 'out.safetensors'
    words = ['anchorize', 'no_such_model', '--images', str(photos), '--out', str(out)]
    assert main(words) == 1
    assert "'no_such_model' is no file of weights, and no model of timm" in capsys.readouterr().err
    words[1] = 'vit_tiny_patch16_224'
    assert main(words) == 1
    assert '--weights FILE, got None' in capsys.readouterr().err


@pytest.mark.parametrize(
    'more, message',
    [
        (('--heads', '7'), '--heads 7 does not divide the 48 channels'),
        (('--layers', '5'), "layers='5' must be some of the 2"),
        (('--anchors', '0'), '--anchors must be at least 1, got 0'),
        (('--heads', '0'), '--heads 0 does not divide the 48 channels'),
        (('--batch-size', '0'), 'batch_size must be at least 1 and workers at least 0, got batch'),
        (('--workers', '-1'), 'got batch_size=2 and workers=-1'),
        (('--images', 'nowhere'), "'nowhere'"),
        (('--out', 'model.onnx'), 'OUT must end in .pth or .safetensors'),
        (('--align-lr', '-1'), 'an lr above 0'),
    ],
)
def test_bad_usage_is_named(source, photos, tmp_path, capsys, more, message):
    out = tmp_path / 'out.safetensors'
    assert anchorize(source, photos, out, *more) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_is_no_vit_is_named(photos, tmp_path, capsys):
    path = tmp_path / 'other.safetensors'
    save_file({'layer.weight': torch.ones(2)}, path)
    assert anchorize(path, photos, tmp_path / 'out.safetensors') == 1
    assert 'is no plain vision transformer' in capsys.readouterr().err
