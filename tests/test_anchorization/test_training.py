"""New attentions learn from those that they replace."""

import copy

import pytest
import torch
from deit_files import SOFTMAX, classifier, randomise, timm_vit
from PIL import Image
from torchvision.models import VisionTransformer as TorchvisionViT

from mmanchor.anchorization import Recipe, anchorize
from mmanchor.anchorization.anchorizing import PLUS, layer_numbers
from mmanchor.anchorization.model_inputs import image_size_of, preparation_for
from mmanchor.anchorization.views import RandomViews
from mmanchor.models import AnchorFormer, LearnedAnchorAttention, SoftmaxAttention
from mmanchor.utils.errors import UserError


@pytest.fixture
def photos(tmp_path):
    """Six images of random colors in a folder."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for index in range(6):
        pixels = torch.randint(0, 256, (5, 7, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).resize((90, 70)).save(folder / f'{index}.png')
    return folder


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = classifier(SOFTMAX)
    randomise(model)
    return model.eval()


def learn(model, photos, align=0, distill=0, **options):
    report = {}
    recipe = options.pop('recipe', Recipe(batch_size=4))
    anchorize(
        model,
        6,
        images=photos,
        align=align,
        distill=distill,
        recipe=recipe,
        report=report,
        **options,
    )
    return report


def test_a_view_depends_on_its_number_alone(photos):
    views = RandomViews(photos, (32, 48))
    first = list(views.batches(0, 3, 2))
    assert first[0].shape == (2, 3, 32, 48) and first[0].dtype is torch.uint8
    again = list(RandomViews(photos, (32, 48)).batches(1, 3, 2))
    assert all(torch.equal(a, b) for a, b in zip(first[1:], again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], next(RandomViews(photos, (32, 48), seed=1).batches(0, 1, 2)))


def test_processes_share_the_views_of_a_step(photos):
    views = RandomViews(photos, (32, 32))
    whole = next(views.batches(1, 2, 4))
    parts = [next(views.batches(1, 2, 2, part=(rank, 2))) for rank in (0, 1)]
    assert torch.equal(whole, torch.cat(parts))


def test_alignment_lowers_the_error_of_every_layer(model, photos):
    recipe = Recipe(batch_size=2)
    before = learn(copy.deepcopy(model), photos, recipe=recipe)
    after = learn(model, photos, align=40, recipe=recipe)
    assert list(after) == ['backbone.layers.0.attn', 'backbone.layers.1.attn']
    assert all(after[name] < 0.8 * before[name] for name in after), (before, after)


def test_alignment_leaves_the_rest_of_the_network(model, photos):
    before = copy.deepcopy(model.state_dict())
    learn(model, photos, align=2)
    for name, value in model.state_dict().items():
        assert '.attn.' in name or torch.equal(value, before[name]), name
    assert all(param.requires_grad for param in model.parameters())


def test_distillation_brings_the_outputs_closer(model, photos):
    teacher = copy.deepcopy(model)
    images = next(RandomViews(photos, (64, 64), seed=9).batches(0, 1, 8))
    wanted = teacher(preparation_for(teacher)(images)).softmax(-1)

    @torch.no_grad()
    def distance(student):
        return float((student(preparation_for(student)(images)).softmax(-1) - wanted).norm())

    aligned = copy.deepcopy(model)
    learn(aligned, photos)
    learn(model, photos, distill=dict(steps=20, lr=1e-3), recipe=Recipe(batch_size=2))
    assert distance(model) < 0.9 * distance(aligned)


@pytest.mark.parametrize('stopped_in', ('align', 'distill'))
def test_a_resumed_run_equals_one_that_was_never_stopped(
    model, photos, tmp_path, stopped_in, monkeypatch
):
    monkeypatch.setattr('mmanchor.anchorization.stages.SAVE_EVERY', 0.0)

    class Stop(Exception):
        pass

    def stop(stage, step, errors):
        if stage.name == stopped_in and step == 3:
            raise Stop

    steps = dict(align=4, distill=4)
    whole = copy.deepcopy(model)
    learn(whole, photos, **steps)
    again = copy.deepcopy(model)
    recipe = Recipe(batch_size=4, state=tmp_path / 'state.pth')
    with pytest.raises(Stop):
        learn(copy.deepcopy(model), photos, **steps, recipe=recipe, after=[stop])
    seen = []
    learn(again, photos, **steps, recipe=recipe, after=[lambda *args: seen.append(args[1])])
    assert len(seen) == (6 if stopped_in == 'align' else 2)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_state_of_another_run_is_refused(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr('mmanchor.anchorization.stages.SAVE_EVERY', 0.0)
    recipe = Recipe(batch_size=4, state=tmp_path / 'state.pth')
    learn(copy.deepcopy(model), photos, align=2, recipe=recipe)
    with pytest.raises(UserError, match='other stages, batch size, seed or amp'):
        learn(model, photos, align=3, recipe=recipe)


def test_early_layers_alone(model, photos):
    report = learn(model, photos, align=1, distill=1, layers='0')
    kinds = [type(layer.attn) for layer in model.backbone.layers]
    assert kinds == [LearnedAnchorAttention, SoftmaxAttention]
    assert list(report) == ['backbone.layers.0.attn']


@torch.no_grad()
def test_the_deploy_form_and_bands_are_equal(model, photos):
    learn(model, photos, align=3, local='depthwise')
    images = torch.randn(1, 3, 96, 80)
    wanted = model(images)
    model.backbone.chunk_tokens = 10
    torch.testing.assert_close(model(images), wanted, rtol=1e-4, atol=1e-4)
    model.backbone.chunk_tokens = None
    trained = model.state_dict()
    model.backbone.switch_to_deploy()
    torch.testing.assert_close(model(images), wanted, rtol=1e-4, atol=1e-4)
    attention = dict(
        type='mmanchor.LearnedAnchorAttention',
        num_anchors=6,
        per_head_anchors=True,
        qkv_bias=True,
        depthwise=True,
        **PLUS,
    )
    deployed = classifier(attention, deploy=True).eval()
    deployed.load_state_dict(trained)
    torch.testing.assert_close(deployed(images), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('amp', (False, True))
@pytest.mark.parametrize(
    'build', (timm_vit, lambda: TorchvisionViT(64, 16, 2, 3, 48, 96, num_classes=5))
)
def test_models_of_other_libraries_learn_too(build, photos, amp):
    model = build().eval()
    report = learn(model, photos, align=2, distill=2, recipe=Recipe(batch_size=2, amp=amp))
    assert len(report) == 2 and all(0 < error < 1.5 for error in report.values())
    assert image_size_of(model) == (64, 64)


def test_a_backbone_alone_learns_features(photos):
    model = AnchorFormer(
        dict(embed_dims=16, num_layers=2, num_heads=2, mlp_ratio=2),
        img_size=32,
        attention='softmax',
    )
    learn(model, photos, distill=1)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(layers='0-2'), r"layers='0-2' must be some of the 2 softmax attentions, 0 to 1"),
        (dict(layers='first'), "numbers and ranges such as 0-7.*got 'first'"),
        (dict(local='conv'), "local must be one of none, depthwise, got 'conv'"),
        (dict(per_head=False), 'images= needs per_head=True'),
        (dict(align=dict(rate=1)), "align takes lr, steps, got 'rate'"),
        (dict(align=dict(lr=0)), 'align needs steps of at least 0 and an lr above 0'),
        (dict(calibration=[torch.rand(1, 3, 64, 64)]), 'calibration or images, not both'),
    ],
)
def test_what_cannot_be_is_named(model, photos, options, message):
    with pytest.raises(UserError, match=message):
        anchorize(model, 6, images=photos, **options)
    assert isinstance(model.backbone.layers[0].attn, SoftmaxAttention)


def test_stages_need_images(model):
    with pytest.raises(UserError, match='align and distill need images='):
        anchorize(model, align=3)


def test_a_folder_without_images_is_named(model, tmp_path):
    with pytest.raises(UserError, match='holds no image'):
        anchorize(model, 6, images=tmp_path)


def test_a_broken_image_is_named(model, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no image')
    with pytest.raises(UserError, match=r'a\.png cannot be read'):
        anchorize(model, 6, images=tmp_path)


def test_the_convolution_is_for_our_models(photos):
    with pytest.raises(UserError, match=r'blocks\.0\.attn is of another library'):
        anchorize(timm_vit(), 6, images=photos, local='depthwise')


def test_numbers_of_layers():
    assert layer_numbers(range(2), 3) == [0, 1]
    assert layer_numbers('2,0-1', 3) == [0, 1, 2]
    with pytest.raises(UserError, match=r"got '-1'"):
        layer_numbers([-1], 3)
