"""A LeViT of others gives the same logits, or keeps all but its queries."""

import copy

import pytest
import torch
from levit_models import ARCH, classifier_config, live, names_of_the_authors, pictures, timm_levit
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmanchor.anchorization.levit_softmax import LevitSoftmax
from mmanchor.apis.conversion import convert_checkpoint
from mmanchor.converters import KINDS, arrays_of_torch, convert_levit, kmeans
from mmanchor.utils.errors import UserError


def build(attention='learned', **backbone):
    init_default_scope('mmpretrain')
    return MODELS.build(classifier_config(attention, **backbone)).eval()


def converted(saved, ours):
    state, report = convert_levit(arrays_of_torch(saved, 'a.pth'), ours.state_dict())
    assert report.is_complete, report.problems()
    ours.load_state_dict(state)
    return ours, report


@pytest.fixture(scope='module')
def theirs():
    torch.manual_seed(0)
    return live(timm_levit())


@torch.no_grad()
def check_same_logits(ours, theirs, size=(96, 96)):
    """In float64: models as small as these enlarge the rounding of others."""
    images = pictures(3, size).double()
    want = copy.deepcopy(theirs).double()(images)
    assert (want[0] - want[1]).abs().max() > 0.1  # images tell
    got = copy.deepcopy(ours).double()(images)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9)


def test_the_softmax_twin_has_timms_logits(theirs):
    ours, report = converted(theirs.state_dict(), build('softmax'))
    assert len(report.converted) == len(theirs.state_dict())
    assert not (report.adapted or report.skipped or report.made)
    check_same_logits(ours, theirs)
    ours = ours.double()  # folds are rounded to the type of the weights
    ours.backbone.switch_to_deploy()
    ours.head.switch_to_deploy()
    check_same_logits(ours, theirs)


def test_the_softmax_twin_has_timms_logits_on_maps_that_are_not_square():
    size = (64, 128)
    theirs = live(timm_levit(size), size)
    ours, _ = converted(theirs.state_dict(), build('softmax', img_size=size))
    check_same_logits(ours, theirs, size)


def test_one_by_one_convolutions_are_linear_layers():
    theirs = live(timm_levit(use_conv=True))
    ours, report = converted(theirs.state_dict(), build('softmax'))
    assert set(report.adapted.values()) == {'a 1 x 1 convolution is a linear layer'}
    check_same_logits(ours, theirs)


def test_a_file_of_the_authors_gives_the_same_weights(theirs):
    saved = dict(model=names_of_the_authors(theirs.state_dict()), epoch=999)
    ours, report = converted(saved, build('softmax'))
    assert set(report.skipped.values()) == {
        'indices of the biases, which follow from the size',
        'not a weight: what a training run keeps',
    }
    check_same_logits(ours, theirs)


def test_a_file_of_mmpretrain_gives_the_same_logits(monkeypatch):
    from mmpretrain.models import LeViT

    monkeypatch.setitem(
        LeViT.arch_zoo,
        'tiny',
        {key: value if key != 'key_dims' else (value,) * 3 for key, value in ARCH.items()},
    )
    init_default_scope('mmpretrain')
    theirs = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='LeViT', arch='tiny', img_size=96),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LeViTClsHead', num_classes=10, in_channels=32),
        )
    )
    theirs.head.distillation = False  # which it cannot be trained with
    theirs = live(theirs)
    theirs.head.distillation = True
    ours, _ = converted(theirs.state_dict(), build('softmax'))
    check_same_logits(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize('arch', ['128s', '128', '192', '256', '384'])
def test_models_of_the_published_size_have_the_same_logits(arch):
    from timm import create_model

    theirs = live(create_model(f'levit_{arch}'), (224, 224))
    cfg = classifier_config('softmax', arch=arch, img_size=224)
    cfg['head'].update(num_classes=1000, in_channels=theirs.num_features)
    init_default_scope('mmpretrain')
    ours, _ = converted(theirs.state_dict(), MODELS.build(cfg).eval())
    images = pictures(2, (224, 224))
    with torch.no_grad():
        want = theirs(images)
        assert (want[0] - want[1]).abs().max() > 0.1
        torch.testing.assert_close(ours(images), want, rtol=0, atol=2e-5)


@pytest.mark.parametrize('per_head', [False, True])
def test_anchors_take_the_place_of_queries_and_all_else_stays(theirs, per_head):
    ours, report = converted(theirs.state_dict(), build(per_head_anchors=per_head))
    state = theirs.state_dict()
    got = dict(ours.backbone.stages.named_parameters())
    rows = state['stages.0.blocks.1.attn.qkv.linear.weight']
    rows = rows.view(2, 32, 16)[:, 8:].flatten(0, 1)  # keys and values
    assert torch.equal(got['0.1.attn.in_proj.linear.weight'], rows)
    gains = state['stages.0.blocks.1.attn.qkv.bn.weight']
    assert torch.equal(got['0.1.attn.in_proj.bn.weight'], gains.view(2, 32)[:, 8:].flatten())
    down = 'stages.1.downsample.attn_downsample.'
    for ours_name, name in (('in_proj', 'kv'), ('query_proj', 'q.ln'), ('proj', 'proj.ln')):
        assert torch.equal(
            got[f'1.0.attn.{ours_name}.linear.weight'], state[f'{down}{name}.linear.weight']
        )
    assert report.made == ['backbone.pos_embed']
    assert set(report.skipped.values()) == {'position biases of N x N scores'}
    drawn = [name for name in report.adapted if name.endswith('.anchors')]
    assert len(drawn) == 6
    # The same file again gives the same anchors.
    again, _ = converted(theirs.state_dict(), build(per_head_anchors=per_head))
    for name, value in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_anchors_have_the_mean_and_the_deviation_of_the_queries(theirs):
    ours, _ = converted(theirs.state_dict(), build(num_anchors=5000, per_head_anchors=True))
    state = theirs.state_dict()
    norm = 'stages.2.downsample.attn_downsample.q.ln.bn.'
    anchors = ours.backbone.stages[2][0].attn.anchors.detach()
    anchors = anchors.transpose(1, 2).flatten(0, 1)  # (heads * D, M)
    torch.testing.assert_close(anchors.mean(1), state[f'{norm}bias'], rtol=0, atol=0.1)
    torch.testing.assert_close(anchors.std(1), state[f'{norm}weight'].abs(), rtol=0.1, atol=0)


def test_biases_of_another_size_are_resized(theirs):
    ours, report = converted(theirs.state_dict(), build('softmax', img_size=160))
    assert set(report.adapted.values()) == {
        f'resized from {n} x {n} to {m} x {m}' for n, m in ((6, 10), (3, 5), (2, 3))
    }
    same = build('softmax', img_size=160)
    same.load_state_dict(converted(theirs.state_dict(), build('softmax'))[0].state_dict())
    images = torch.randn(1, 3, 160, 160)
    torch.testing.assert_close(ours(images), same(images))


@pytest.mark.parametrize(
    'change, problem',
    [
        (dict(arch=dict(ARCH, depths=(2, 1, 2))), 'missing for the model: '),
        (dict(arch=dict(ARCH, depths=(1, 1, 1))), 'left over in the file: '),
        (dict(arch=dict(ARCH, embed_dims=(16, 32, 32))), 'not fitting: '),
        (dict(arch=dict(ARCH, num_heads=(2, 4, 2))), 'not fitting: '),
        (dict(arch=dict(ARCH, key_dims=4)), 'not fitting: '),
    ],
)
@pytest.mark.parametrize('attention', ['learned', 'softmax'])
def test_another_architecture_is_reported(theirs, attention, change, problem):
    for saved in (theirs.state_dict(), names_of_the_authors(theirs.state_dict())):
        _, report = convert_levit(saved, build(attention, **change).state_dict())
        assert problem in report.problems()


@pytest.mark.parametrize(
    'spoil',
    [
        lambda state: {k: v for k, v in state.items() if '.qkv.bn.' not in k},
        lambda state: {k: v[:-1] if v.dim() else v for k, v in state.items()},
        lambda state: {k: v.reshape(-1) for k, v in state.items()},
        lambda state: {k: torch.tensor(0.0) for k in state},
        lambda state: {k: v[:0] if v.dim() else v for k, v in state.items()},
        lambda state: {k: v[..., None] for k, v in state.items()},
        lambda state: {k: v.flatten(1)[:, 0] if v.dim() > 1 else v for k, v in state.items()},
    ],
)
@pytest.mark.parametrize('attention', ['learned', 'softmax'])
@pytest.mark.parametrize('size', [96, 160])
def test_a_spoilt_file_is_reported(theirs, attention, spoil, size):
    _, report = convert_levit(
        spoil(theirs.state_dict()), build(attention, img_size=size).state_dict()
    )
    assert not report.is_complete


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_the_command_reads_and_writes_both_formats(theirs, tmp_path, suffix):
    from safetensors.torch import save_file

    cfg = Config(dict(model=classifier_config(), default_scope='mmpretrain'))
    source, out = tmp_path / f'a{suffix}', tmp_path / f'b{suffix}'
    save = save_file if suffix == '.safetensors' else torch.save
    save(theirs.state_dict(), source)
    report = convert_checkpoint('levit', source, out, cfg)
    assert report.is_complete and out.is_file()
    cfg.model.backbone.arch.depths = (1, 1, 1)
    with pytest.raises(UserError, match='left over'):
        convert_checkpoint('levit', source, tmp_path / 'c.pth', cfg)
    assert not (tmp_path / 'c.pth').exists()
    assert 'LeViT' in KINDS['levit'].source


@pytest.mark.parametrize('per_head', [False, True])
def test_anchors_are_clusters_of_queries_and_keys_in_given_images(theirs, tmp_path, per_head):
    from PIL import Image

    gray = pictures(4)[:, :1].mul(60).add(128).clamp(0, 255).byte()
    for i, image in enumerate(gray):
        Image.fromarray(image[0].numpy()).save(tmp_path / f'{i}.png')
    torch.save(theirs.state_dict(), tmp_path / 'a.pth')
    steps = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    model = classifier_config(per_head_anchors=per_head)
    model['data_preprocessor'] = dict(mean=[128.0] * 3, std=[60.0] * 3)
    cfg = Config(
        dict(
            model=model,
            default_scope='mmpretrain',
            test_dataloader=dict(dataset=dict(pipeline=steps)),
        )
    )
    report = convert_checkpoint(
        'levit', tmp_path / 'a.pth', tmp_path / 'b.pth', cfg, anchors_from=tmp_path
    )
    how = [v for k, v in report.adapted.items() if k.endswith('.anchors')]
    assert how == ['anchors: clusters of queries and keys in the given images'] * 6

    twin, _ = converted(theirs.state_dict(), build('softmax'))
    attn = twin.backbone.stages[1][0].attn
    seen = []
    attn.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    twin((gray.expand(-1, 3, -1, -1) - 128.0) / 60)
    points = LevitSoftmax(attn).queries_and_keys(seen[0].flatten(0, 1))
    anchors = torch.load(tmp_path / 'b.pth')['state_dict']['backbone.stages.1.0.attn.anchors']
    if not per_head:
        points, anchors = points.flatten(0, 1)[None], anchors[None]
    torch.testing.assert_close(anchors, kmeans(points, 6))
