"""Every config loads, builds, and is what its name says."""

import re

import pytest
import torch
import yaml
from config_files import (
    ARCHS,
    CLASSIFICATION,
    CLASSIFIER,
    DETECTION,
    DETECTORS,
    ENTRY_POINTS,
    NAME,
    NAMED,
    PATHS,
    PICODET,
    PRETRAINING,
    ROOT,
    SEGMENTATION,
    TRUNKS,
    by_stem,
    load,
)
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS, VISUALIZERS
from torch import nn

from mmanchor.demo.scenes import DEMO_CLASSES, DEMO_PALETTE, DEMO_THING_CLASSES
from tools.docs.model_tables import updated

PUBLISHED = [path for path in PICODET if path.parent.name == 'picodet']

HEADS = dict(upernet='UPerHead', fpn='FPNHead', segformer='SegformerHead')
# Of ESNet's widths, and the same of AnchorFormer in its place.
SCALES = dict(esnet=dict(s=0.75, m=1.0, l=1.25), anchorformer=dict(t=0.75, s=1.0, b=1.25))
BACKBONES = dict(esnet='mmanchor.ESNet', anchorformer='mmanchor.AnchorESNet')
SCOPES = {
    **dict.fromkeys(CLASSIFICATION + PRETRAINING, 'mmpretrain'),
    **dict.fromkeys(DETECTION, 'mmdet'),
    **dict.fromkeys(SEGMENTATION, 'mmseg'),
}
ROOTS = dict(
    in1k=['data/imagenet'],
    unlabeled=['data/imagenet/train'],
    ade20k=['data/ade/ADEChallengeData2016'],
    coco=['data/coco/'],
    demo=['data/demo/ade', 'data/demo/coco', 'data/demo/coco/'],
)


def folder_name(path):
    return path.parent.name


def iterations(length):
    return int(length.replace('k', '000'))


def resizes(pipeline):
    return [step for step in pipeline if step.type in ('Resize', 'TestTimeAug')]


def test_there_are_configs():
    assert {path.stem for path in ENTRY_POINTS} == {
        'upernet_anchorformer_ade',
        'fpn_anchorformer_ade',
        'picodet_anchorformer-t_coco',
        'picodet_anchorformer-s_coco',
        'picodet_anchorformer-b_coco',
        'anchorformer-t_in1k',
        'anchorformer-s_in1k',
        'anchorformer-b_in1k',
    }
    assert len(SEGMENTATION) >= 10 and len(PUBLISHED) == 13


@by_stem(NAMED)
def test_the_name_follows_from_the_content(path):
    pattern = CLASSIFIER if path in CLASSIFICATION else NAME
    cfg, name = load(path), pattern.fullmatch(path.stem)
    assert name, path.stem
    assert cfg.train_dataloader.batch_size == int(name['batch'])
    total = int(name['gpus']) * int(name['batch'])
    assert cfg.auto_scale_lr.base_batch_size == total
    dataset = cfg.train_dataloader.dataset
    if name['dataset'] in ROOTS:
        assert dataset.data_root in ROOTS[name['dataset']]
    assert cfg.default_scope == SCOPES[path]


@by_stem(SEGMENTATION)
def test_the_name_of_a_segmentor(path):
    cfg, name = load(path), NAME.fullmatch(path.stem)
    model = cfg.model
    assert model.decode_head.type == HEADS[name['model']]
    assert model.backbone.type == TRUNKS[name['backbone']]
    if name['arch'] in ARCHS:
        assert model.backbone.arch == ARCHS[name['arch']]
    assert cfg.train_cfg.max_iters == iterations(name['length'])
    size = (int(name['size']),) * 2
    assert tuple(cfg.crop_size) == tuple(model.data_preprocessor.size) == size
    assert model.backbone.img_size == size[0]


@by_stem(DETECTION)
def test_the_name_of_a_detector(path):
    cfg, name = load(path), NAME.fullmatch(path.stem)
    assert cfg.model.type == DETECTORS[name['model']]
    epochs = cfg.train_cfg.max_epochs
    assert epochs == cfg.param_scheduler[-1].end == int(name['length'].removesuffix('e'))
    assert cfg.default_hooks.checkpoint.interval in (cfg.train_cfg.val_interval, 1)
    assert cfg.test_dataloader.dataset.pipeline == cfg.test_pipeline
    (resize,) = resizes(cfg.test_pipeline)
    assert min(resize.scale) == int(name['size'])


@by_stem(PICODET)
def test_the_name_of_a_picodet(path):
    cfg, name = load(path), NAME.fullmatch(path.stem)
    backbone = cfg.model.backbone
    assert backbone.type == BACKBONES[name['backbone']]
    scales = SCALES[name['backbone']]
    assert backbone.scale == scales.get(name['arch'], backbone.scale)
    (resize,) = resizes(cfg.test_pipeline)
    assert resize.scale[0] == resize.scale[1] and not resize.keep_ratio


@by_stem([path for path in DETECTION if path not in PICODET])
def test_detectors_of_mmdet_stand_on_a_plain_trunk(path):
    cfg, name = load(path), NAME.fullmatch(path.stem)
    assert cfg.model.backbone.type == TRUNKS[name['backbone']]
    assert cfg.model.backbone.arch == ARCHS[name['arch']]
    pyramid, fpn = cfg.model.neck
    assert pyramid.type == 'mmanchor.SimpleFeaturePyramid'
    assert list(pyramid.out_channels) == list(fpn.in_channels)


@by_stem(SEGMENTATION)
def test_the_schedule_ends_with_the_training(path):
    cfg = load(path)
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_iters
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    ends = [0] + [scheduler.end for scheduler in cfg.param_scheduler]
    begins = [scheduler.begin for scheduler in cfg.param_scheduler]
    assert begins == ends[:-1]


@by_stem(PUBLISHED)
def test_the_recipe_of_picodet(path):
    cfg, name = load(path), NAME.fullmatch(path.stem)
    size, large = int(name['size']), name['arch'] in 'lb'
    (augment,) = cfg.model.data_preprocessor.batch_augments
    assert tuple(augment.sizes) == tuple(range(size - 64, size + 65, 32))
    assert all(side % cfg.model.data_preprocessor.pad_size_divisor == 0 for side in augment.sizes)
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    for resize in (*resizes(cfg.train_pipeline), *resizes(cfg.test_pipeline)):
        assert tuple(resize.scale) == (size, size)
        assert not resize.keep_ratio and resize.interpolation == 'bicubic'
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.end, warm_up.start_factor) == (300, 0.1)
    epochs = 250 if large else 300
    assert cosine.T_max == 300 and cosine.convert_to_iter_based
    assert cosine.end == cfg.train_cfg.max_epochs == epochs
    assert epochs % cfg.train_cfg.val_interval == 0
    assert cfg.optim_wrapper.optimizer == dict(
        type='SGD', lr=0.3 if large else 0.4, momentum=0.9, weight_decay=4e-5
    )
    average = cfg.custom_hooks[-1]
    assert average.type == 'mmanchor.RestartedEMAHook'
    assert (average.restart_interval, average.momentum) == (40, 0.0002)
    checkpoint = cfg.default_hooks.checkpoint
    assert checkpoint.save_best == 'coco/bbox_mAP'
    assert checkpoint.interval == cfg.train_cfg.val_interval


MASKED = dict(
    mae=('MAE', 'mmanchor.MAEAnchorFormer'), simmim=('SimMIM', 'mmanchor.SimMIMAnchorFormer')
)


@by_stem(PRETRAINING)
def test_the_name_of_a_pretraining(path):
    cfg, name = load(path), NAME.fullmatch(path.stem)
    size, backbone = int(name['size']), cfg.model.backbone
    assert (cfg.model.type, backbone.type) == MASKED[name['model']]
    assert backbone.arch == ARCHS[name['arch']] and backbone.img_size == size
    (crop,) = (step for step in cfg.train_pipeline if step.type == 'RandomResizedCrop')
    assert crop.scale == size
    epochs = int(name['length'].removesuffix('e'))
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == epochs
    per_step = dict(mae=256, simmim=512)[name['model']]
    rate = dict(mae=1.5e-4, simmim=2e-4)[name['model']]
    total = cfg.auto_scale_lr.base_batch_size
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate * total / per_step)


def check_segmentor(cfg, model):
    height, width = 64, 96
    out = model(torch.rand(1, 3, height, width))
    assert out.shape[1] == cfg.model.decode_head.num_classes
    finest = model.backbone.patch_size // 4
    assert out.shape[2] in (height // finest, height // (2 * finest))


def check_detector(cfg, model):
    METRICS.build(dict(cfg.val_evaluator, ann_file=None))
    if cfg.model.type != 'mmanchor.PicoDet':
        # Heads of others; test_foreign_heads runs them.
        maps = model.extract_feat(torch.rand(1, 3, 64, 96))
        assert len(maps) == 5 and {each.shape[1] for each in maps} == {256}
        return
    scores, boxes = model(torch.rand(1, 3, 64, 96))
    assert [tuple(level.shape[2:]) for level in scores] == [
        (64 // stride, -(-96 // stride)) for stride in (8, 16, 32, 64)
    ]
    assert {level.shape[1] for level in scores} == {cfg.model.bbox_head.num_classes}
    assert {level.shape[1] for level in boxes} == {32}


def check_classifier(cfg, model):
    if 'num_classes' not in cfg.model.head:
        # Trains without labels; tests/test_models/test_masked.py runs it.
        (maps,) = model(torch.rand(1, 3, 224, 224))
        assert maps.shape[1] == 384
        return
    size = cfg.model.backbone.img_size
    out = model(torch.rand(2, 3, size, size), mode='tensor')
    assert out.shape == (2, cfg.model.head.num_classes)
    METRICS.build(cfg.val_evaluator)


CHECKS = dict(mmdet=check_detector, mmpretrain=check_classifier, mmseg=check_segmentor)


@by_stem(PATHS)
def test_it_builds_and_its_parts_fit_together(path, scope):
    cfg = load(path)
    scope(cfg)
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        CHECKS[cfg.default_scope](cfg, model)
    # The hooks that draw look for it.
    VISUALIZERS.build(dict(cfg.visualizer, vis_backends=None))
    for hook in (*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or ())):
        HOOKS.build(hook)
    assert cfg.visualizer.name == 'visualizer'
    assert cfg.default_hooks.stop_on_nan.type == 'mmanchor.StopOnNanHook'
    names = ('train_pipeline', 'test_pipeline', 'tta_pipeline')
    for pipeline in (cfg.get(name, ()) for name in names):
        for transform in pipeline:
            TRANSFORMS.build(transform)
    type_ = cfg.train_dataloader.dataset.type
    dataset = type_ if '.' in type_ else f'{cfg.default_scope}.{type_}'
    assert DATASETS.get(dataset) is not None


def test_weights_are_decayed_as_paddledetection_does(scope):
    (path,) = ROOT.glob('picodet/*anchorformer-t*-416.py')
    cfg = load(path)
    scope(cfg)
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(value): name for name, value in model.named_parameters()}
    decay = {
        names[id(value)]: group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for value in group['params']
    }
    assert len(decay) == len(names)
    norms = {
        f'{name}.{key}'
        for name, module in model.named_modules()
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm))
        for key in ('weight', 'bias')
    }
    kept = {name for name, value in decay.items() if not value}
    anchors = {name for name in names.values() if name.endswith('anchors')}
    assert anchors and any(name.startswith('neck') for name in norms)
    assert kept == anchors | {name for name in norms if not name.startswith('neck')}
    assert set(decay.values()) == {0.0, 4e-5}


@by_stem(ENTRY_POINTS)
def test_entry_points_add_nothing_to_a_named_config(path):
    text = path.read_text()
    base = re.search(r"_base_ = \['(.+?)'\]", text)[1]
    assert load(path).to_dict() == load(path.parent / base).to_dict()
    code = [line for line in text.splitlines() if not line.startswith('#')]
    assert len(code) == 1


@by_stem([path for path in NAMED if path.parent.name == 'demo'])
def test_the_demo_names_the_classes_of_the_demo_data(path):
    meta = load(path).train_dataloader.dataset.metainfo
    colors = dict(zip(DEMO_CLASSES, map(tuple, DEMO_PALETTE), strict=True))
    assert tuple(meta.classes) == (DEMO_THING_CLASSES if path in DETECTION else DEMO_CLASSES)
    assert [tuple(color) for color in meta.palette] == [colors[name] for name in meta.classes]


@pytest.mark.parametrize('metafile', sorted(ROOT.glob('*/metafile.yml')), ids=folder_name)
def test_tables_come_from_the_metafile(metafile):
    folder = metafile.parent
    models = yaml.safe_load(metafile.read_text())['Models']
    names = {path.stem for path in folder.glob('*.py')}
    assert {model['Name'] for model in models} == names
    for model in models:
        assert model['Config'] == f'configs/{folder.name}/{model["Name"]}.py'
        # Scores appear only if they were measured.
        assert 'Results' not in model
    readme = folder / 'README.md'
    text = readme.read_text()
    assert all(f'| [{name}]({name}.py) |' in text for name in names)
    assert updated(readme) == text, 'run python tools/docs/model_tables.py'


def test_the_index_lists_every_metafile():
    index = yaml.safe_load((ROOT.parent / 'model-index.yml').read_text())['Import']
    found = [path.relative_to(ROOT.parent).as_posix() for path in ROOT.glob('*/metafile.yml')]
    assert index == sorted(found)
