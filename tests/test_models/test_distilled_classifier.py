"""Heads with two classifiers, and the classifier that a teacher teaches."""

import warnings

import pytest
import timm
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample

from mmanchor.compat import UnsafeCheckpointError
from mmanchor.models.heads import DistilledDeiTHead, DistilledLeViTHead
from mmanchor.utils.errors import UserError

K = 5
TIMM = dict(
    model_name='deit_tiny_patch16_224',
    img_size=32,
    embed_dim=16,
    depth=1,
    num_heads=2,
    num_classes=K,
)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def backbone(**kwargs):
    return dict(
        type='mmanchor.AnchorFormer',
        arch=dict(embed_dims=16, num_layers=2, num_heads=2, mlp_ratio=2),
        img_size=32,
        extra_tokens=('cls', 'dist'),
        out_type='tokens',
        **kwargs,
    )


def teacher(num_classes=K):
    return dict(
        type='ImageClassifier',
        backbone=backbone(),
        head=dict(
            type='mmanchor.DistilledDeiTHead',
            num_classes=num_classes,
            in_channels=16,
            init_cfg=dict(type='Normal', layer='Linear', std=1.0),
        ),
    )


def student(head='mmanchor.DistilledDeiTHead', **kwargs):
    settings = {'teacher': teacher(), **kwargs}
    extra = ('cls', 'dist')
    if head == 'LinearClsHead':
        extra = ('cls',)
    return MODELS.build(
        dict(
            type='mmanchor.DistilledClassifier',
            backbone=dict(backbone(), extra_tokens=extra),
            head=dict(
                type=head,
                num_classes=K,
                in_channels=16,
                init_cfg=dict(type='Normal', layer='Linear', std=1.0),
            ),
            **settings,
        )
    )


def test_the_score_is_the_mean_of_both_classifiers():
    head = DistilledDeiTHead(num_classes=K, in_channels=16).double()
    for param in head.parameters():
        torch.nn.init.normal_(param)
    tokens = torch.rand(2, 3, 16, dtype=torch.double).unbind()
    for training in (True, False):
        out = head.train(training)((tokens,))
        first, second = head.layers.head, head.layers.head_dist
        expected = (first(tokens[0]) + second(tokens[1])) / 2
        torch.testing.assert_close(out, expected)


def test_without_a_teacher_both_classifiers_learn_the_labels():
    head = DistilledDeiTHead(num_classes=K, in_channels=16)
    for param in head.parameters():
        torch.nn.init.normal_(param)
    tokens = torch.rand(2, 3, 16).unbind()
    labels = torch.tensor([1, 4, 0])
    loss = head.loss((tokens,), samples(labels))['loss']
    expected = sum(F.cross_entropy(scores, labels) for scores in head.token_scores((tokens,))) / 2
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize('head', ['mmanchor.DistilledDeiTHead', 'LinearClsHead'])
@pytest.mark.parametrize('kind', ['hard', 'soft'])
def test_losses_are_those_of_the_equations(kind, head):
    model = student(head, distillation=kind, distillation_weight=0.3, temperature=2.0)
    model.init_weights()
    model.train()
    images, labels = torch.rand(3, 3, 32, 32), torch.tensor([1, 4, 0])
    losses = model(images, samples(labels), mode='loss')
    taught = model._teachers[0](images, mode='tensor')
    feats = model.extract_feat(images)
    if head == 'LinearClsHead':
        labelled = distilled = model.head(feats)
    else:
        labelled, distilled = model.head.token_scores(feats)
    if kind == 'hard':
        expected = F.cross_entropy(distilled, taught.argmax(1))
    else:
        t, z = (taught / 2).softmax(1), (distilled / 2).softmax(1)
        expected = 4 * (t * (t / z).log()).sum(1).mean()
    torch.testing.assert_close(losses['loss_distillation'], 0.3 * expected)
    torch.testing.assert_close(losses['loss'], 0.7 * F.cross_entropy(labelled, labels))


def test_the_teacher_is_frozen_and_no_part_of_the_student():
    model = student()
    model.init_weights()
    before = set(model.state_dict())
    losses = model.train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')
    sum(losses.values()).backward()
    assert set(model.state_dict()) == before
    frozen = model._teachers[0]
    assert not frozen.training
    assert all(not param.requires_grad for param in frozen.parameters())
    missing = [name for name, param in model.named_parameters() if param.grad is None]
    assert not missing


@pytest.mark.parametrize('key', ['state_dict', 'model', 'module'])
def test_the_teacher_reads_its_checkpoint_when_the_first_loss_needs_it(tmp_path, key):
    weights = MODELS.build(teacher()).state_dict()
    path = tmp_path / 'teacher.pth'
    model = student(teacher_checkpoint=str(path))
    model.predict(torch.rand(1, 3, 32, 32), None)  # needs no teacher
    torch.save({key: weights, 'epoch': 3}, path)
    model.train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')
    for name, value in model._teachers[0].state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_file_that_does_not_fit_the_teacher_is_named(tmp_path):
    path = tmp_path / 'teacher.pth'
    torch.save(dict(model=dict(other=torch.zeros(3))), path)
    model = student(teacher_checkpoint=str(path)).train()
    with pytest.raises(UserError, match=r"model\.teacher_checkpoint='.*teacher\.pth'"):
        model(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')


def test_a_teachers_file_runs_no_code(tmp_path):

    class Wants:
        def __reduce__(self):
            return (tmp_path.joinpath('ran').touch, ())

    path = tmp_path / 'teacher.pth'
    torch.save(dict(model=Wants()), path)
    model = student(teacher_checkpoint=str(path)).train()
    with pytest.raises(UnsafeCheckpointError, match=r'teacher.pth'):
        model(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')
    assert not (tmp_path / 'ran').exists()


def test_a_teacher_of_timm_keeps_the_weights_that_it_loads(tmp_path):
    # timm's transformers have init_weights(), which would draw them anew.
    weights = timm.create_model(**TIMM).state_dict()
    path = tmp_path / 'teacher.pth'
    torch.save(weights, path)
    model = student(teacher=dict(type='TimmClassifier', checkpoint_path=str(path), **TIMM))
    model.train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')
    for name, value in model._teachers[0].model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_file_of_the_teacher_takes_the_place_of_a_download(tmp_path, monkeypatch):
    asked = []
    build = timm.create_model
    monkeypatch.setattr(
        'timm.models.create_model',
        lambda pretrained=False, **kwargs: asked.append(pretrained) or build(**kwargs),
    )
    path = tmp_path / 'teacher.pth'
    weights = build(**TIMM).state_dict()
    torch.save(weights, path)
    model = student(
        teacher=dict(type='TimmClassifier', pretrained=True, **TIMM), teacher_checkpoint=str(path)
    )
    model.train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')
    assert asked == [False]
    for name, value in model._teachers[0].model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_teacher_loads_what_its_init_cfg_names(tmp_path):
    weights = MODELS.build(teacher()['backbone']).state_dict()
    path = tmp_path / 'trunk.pth'
    torch.save(weights, path)
    cfg = teacher()
    cfg['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(path))
    model = student(teacher=cfg)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')
    for name, value in model._teachers[0].backbone.state_dict().items():
        assert torch.equal(value, weights[name])


def test_a_teacher_without_weights_is_warned_about():
    with pytest.warns(UserWarning, match='set model.teacher_checkpoint'):
        student().train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')


def test_a_teacher_of_other_classes_is_refused():
    model = student()
    model.teacher_cfg = teacher(num_classes=7)
    with pytest.raises(ValueError, match='7 classes and the student 5'):
        model.train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')


@pytest.mark.parametrize(
    'kwargs', [dict(distillation='firm'), dict(distillation_weight=1.5), dict(temperature=0.0)]
)
def test_arguments_out_of_range_are_named(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        student(**kwargs)


def levit_head(**kwargs):
    head = DistilledLeViTHead(num_classes=K, in_channels=16, **kwargs)
    for param in head.parameters():
        torch.nn.init.normal_(param)
    for name, buffer in head.named_buffers():
        if 'running' in name:
            torch.nn.init.uniform_(buffer, 0.5, 2.0)
    return head.double().eval()


def test_the_norms_of_the_head_of_levit_fold():
    x = torch.rand(4, 16, dtype=torch.double)
    head = levit_head()
    expected = head((x,))
    loading = DistilledLeViTHead(num_classes=K, in_channels=16, deploy=True).double().eval()
    loading.load_state_dict(head.state_dict())
    head.switch_to_deploy()
    head.switch_to_deploy()
    assert (
        set(head.state_dict())
        == set(loading.state_dict())
        == {'head.weight', 'head.bias', 'head_dist.weight', 'head_dist.bias'}
    )
    torch.testing.assert_close(head((x,)), expected)
    torch.testing.assert_close(loading((x,)), expected)


def test_the_head_of_levit_learns_from_a_teacher_too():
    head = levit_head().train()
    first, second = head.token_scores((torch.rand(4, 16).double(),))
    assert not torch.equal(first, second)


def test_one_classifier_is_refused():
    with pytest.raises(ValueError, match='distillation must be True'):
        DistilledLeViTHead(num_classes=K, in_channels=16, distillation=False)


def test_a_model_of_timm_teaches():
    model = student()
    model.teacher_cfg = dict(
        type='TimmClassifier', model_name='mobilenetv3_small_050', num_classes=K, pretrained=False
    )
    losses = model.train()(torch.rand(2, 3, 32, 32), samples([0, 1]), mode='loss')
    assert torch.isfinite(losses['loss_distillation'])
