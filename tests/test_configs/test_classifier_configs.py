"""Configs of classifiers: names, recipes, and what each row changes."""

import pytest
import torch
from config_files import ARCHS, CLASSIFICATION, CLASSIFIER, ROOT, TRUNKS, by_stem, load
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

# Those that DeiT's recipe trains.
DEIT_RECIPE = [path for path in CLASSIFICATION if path.parent.name == 'anchorformer']


def test_there_are_all_rows_of_the_tables():
    assert len(DEIT_RECIPE) == 21


@by_stem(CLASSIFICATION)
def test_the_name_of_a_classifier(path):
    cfg, name = load(path), CLASSIFIER.fullmatch(path.stem)
    backbone, size = cfg.model.backbone, int(name['size'])
    assert backbone.type == TRUNKS[name['model']]
    if name['arch'] in ARCHS:
        assert backbone.arch == ARCHS[name['arch']]
    elif isinstance(backbone.arch, str):
        assert backbone.arch == name['arch']
    distilled = cfg.model.type == 'mmanchor.DistilledClassifier'
    assert distilled == ('teacher' in cfg.model)
    if name['variant']:
        assert distilled == (name['variant'] == 'distilled')
    assert backbone.img_size == size
    assert cfg.train_cfg.max_epochs == int(name['length'][:-1])
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs
    crops = [step for step in cfg.test_pipeline if step.type == 'CenterCrop']
    assert all(step.crop_size == size for step in crops)
    assert cfg.test_dataloader.dataset.pipeline == cfg.test_pipeline
    assert cfg.train_cfg.max_epochs % cfg.train_cfg.val_interval == 0


# What each row of the ablations changes of the model that it is a row of.
ABLATIONS = {
    't-token': {'attention.type': 'mmanchor.TokenAnchorAttention'},
    't-perhead': {'attention.per_head_anchors': True},
    't-depthwise': {'attention.depthwise': True},
    **{f'{arch}-m{m}': {'num_anchors': m} for arch in 'ts' for m in (10, 50, 100)},
}


@pytest.mark.parametrize('name', ABLATIONS)
def test_an_ablation_changes_one_thing(name):
    folder, suffix = ROOT / 'anchorformer', '_8xb128-300e_in1k-224.py'
    cfg = load(folder / f'anchorformer-{name}{suffix}')
    base = load(folder / f'anchorformer-{name[0]}{suffix}')
    change = {f'model.backbone.{k}': v for k, v in ABLATIONS[name].items()}
    base.merge_from_dict(change)
    assert cfg.to_dict() == base.to_dict()


@pytest.mark.parametrize(
    ('folder', 'older', 'newer'),
    [('anchorformer', 'deit-', 'anchorformer-'), ('levit', 'levit-', 'anchor-levit-')],
)
def test_the_older_model_is_the_base_of_the_newer(folder, older, newer):
    for path in (ROOT / folder).glob(f'{older}*.py'):
        assert newer not in path.read_text()
        twin = path.with_name(path.name.replace(older, newer, 1))
        assert f"_base_ = ['./{path.name}']" in twin.read_text()


@pytest.mark.parametrize('arch', 'tsb')
@pytest.mark.parametrize('variant', ['', '-distilled'])
def test_the_softmax_twin_differs_in_its_attention_alone(arch, variant):
    rest = f'-{arch}{variant}_8xb128-300e_in1k-224.py'
    twin = load(ROOT / 'anchorformer' / f'deit{rest}')
    cfg = load(ROOT / 'anchorformer' / f'anchorformer{rest}')
    attention = twin.model.backbone.pop('attention')
    cfg.model.backbone.pop('attention')
    assert attention == dict(type='mmanchor.SoftmaxAttention', qkv_bias=True)
    assert twin.to_dict() == cfg.to_dict()


@pytest.mark.parametrize('arch', ['128s', '128', '192', '256', '384'])
def test_levit_differs_from_anchor_levit_in_its_attention_alone(arch):
    rest = f'levit-{arch}_8xb256-1000e_in1k-224.py'
    twin = load(ROOT / 'levit' / rest)
    cfg = load(ROOT / 'levit' / f'anchor-{rest}')
    assert twin.model.backbone.pop('attention') == 'softmax'
    assert cfg.model.backbone.pop('attention') == 'learned'
    assert twin.to_dict() == cfg.to_dict()
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.lr == 5e-4 * cfg.auto_scale_lr.base_batch_size / 512
    assert (optimizer.type, optimizer.weight_decay) == ('AdamW', 0.025)
    drop_path = cfg.model.backbone.get('drop_path_rate', 0.0)
    assert drop_path == (0.1 if arch == '384' else 0.0)


@by_stem(DEIT_RECIPE)
def test_the_recipe_of_deit(path):
    cfg = load(path)
    batch = cfg.auto_scale_lr.base_batch_size
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.lr == 5e-4 * batch / 512
    assert (optimizer.type, optimizer.weight_decay) == ('AdamW', 0.05)
    warm_up, cosine = cfg.param_scheduler
    assert warm_up.end == cosine.begin == 5
    assert cosine.T_max == cosine.end - cosine.begin == 295
    sampler = cfg.train_dataloader.sampler
    assert (sampler.type, sampler.num_repeats) == ('RepeatAugSampler', 3)
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert steps == [
        'LoadImageFromFile',
        'RandomResizedCrop',
        'RandomFlip',
        'RandAugment',
        'RandomErasing',
        'PackInputs',
    ]
    assert [each.type for each in cfg.model.train_cfg.augments] == ['Mixup', 'CutMix']
    assert cfg.custom_hooks[-1].type == 'EMAHook'
    assert cfg.model.backbone.drop_path_rate == 0.1


TINY = dict(embed_dims=16, num_layers=1, num_heads=2, mlp_ratio=2)


@by_stem(CLASSIFICATION)
def test_a_step_of_training_reaches_every_weight(path, scope):
    """On the meta device: shapes and gradients without the numbers."""
    cfg = load(path)
    scope(cfg)
    num_classes = cfg.model.head.num_classes
    if 'teacher' in cfg.model:
        cfg.model.teacher = dict(
            type='ImageClassifier',
            backbone=dict(
                type='mmanchor.AnchorFormer', arch=TINY, extra_tokens=('cls',), out_type='tokens'
            ),
            head=dict(type='VisionTransformerClsHead', in_channels=16, num_classes=num_classes),
        )
    size = cfg.model.backbone.img_size
    samples = [
        DataSample().set_gt_score(score)
        for score in torch.full((2, num_classes), 1 / num_classes, device='meta')
    ]
    with torch.device('meta'):
        model = MODELS.build(cfg.model).train()
        losses = model.loss(torch.rand(2, 3, size, size), samples)
        if hasattr(model.backbone, 'auxiliary_losses'):
            losses.update(model.backbone.auxiliary_losses())
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert not [name for name, param in model.named_parameters() if param.grad is None]
