"""Every config loads, builds, and is what its name says."""
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, TRANSFORMS, DefaultScope

from mmanchor.datasets import DEMO_CLASSES, DEMO_PALETTE

ROOT = Path(__file__).parents[1] / 'configs'
PATHS = sorted(
    path for path in ROOT.rglob('*.py') if '_base_' not in str(path))
ENTRY_POINTS = [path for path in PATHS if path.parent == ROOT]
NAMED = [path for path in PATHS if path.parent != ROOT]

NAME = re.compile(r'(?P<model>\w+?)_anchorformer-(?P<arch>\w+)_'
                  r'(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<length>\d+k?)_'
                  r'(?P<dataset>\w+)-(?P<size>\d+)')
HEADS = dict(upernet='UPerHead', fpn='FPNHead')
ARCHS = dict(t='tiny', s='small', b='base')
ROOTS = dict(ade20k='data/ade/ADEChallengeData2016', demo='data/demo/ade')


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def load(path):
    return Config.fromfile(str(path))


def iterations(length):
    return int(length.replace('k', '000'))


def test_there_are_configs():
    assert {path.stem
            for path in ENTRY_POINTS
            } == {'upernet_anchorformer_ade', 'fpn_anchorformer_ade'}
    assert len(NAMED) >= 10


@pytest.mark.parametrize('path', NAMED, ids=lambda path: path.stem)
def test_the_name_follows_from_the_content(path):
    cfg, name = load(path), NAME.fullmatch(path.stem)
    assert name, path.stem
    model = cfg.model
    assert model.decode_head.type == HEADS[name['model']]
    assert model.backbone.type == 'mmanchor.AnchorFormer'
    if name['arch'] in ARCHS:
        assert model.backbone.arch == ARCHS[name['arch']]
    assert cfg.train_dataloader.batch_size == int(name['batch'])
    total = int(name['gpus']) * int(name['batch'])
    assert cfg.auto_scale_lr.base_batch_size == total
    assert cfg.train_cfg.max_iters == iterations(name['length'])
    assert cfg.train_dataloader.dataset.data_root == ROOTS[name['dataset']]
    size = (int(name['size']), ) * 2
    assert tuple(cfg.crop_size) == tuple(model.data_preprocessor.size) == size
    assert model.backbone.img_size == size[0]


@pytest.mark.parametrize('path', NAMED, ids=lambda path: path.stem)
def test_the_schedule_ends_with_the_training(path):
    cfg = load(path)
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_iters
    assert cfg.train_cfg.max_iters % cfg.train_cfg.val_interval == 0
    ends = [0] + [scheduler.end for scheduler in cfg.param_scheduler]
    begins = [scheduler.begin for scheduler in cfg.param_scheduler]
    assert begins == ends[:-1]


@pytest.mark.parametrize('path', PATHS, ids=lambda path: path.stem)
def test_it_builds_and_its_parts_fit_together(path):
    cfg = load(path)
    assert cfg.default_scope == 'mmseg'
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        height, width = 64, 96
        out = model(torch.rand(1, 3, height, width))
    assert out.shape[1] == cfg.model.decode_head.num_classes
    finest = model.backbone.patch_size // 4
    assert out.shape[2] in (height // finest, height // (2 * finest))
    for pipeline in (cfg.train_pipeline, cfg.test_pipeline, cfg.tta_pipeline):
        for transform in pipeline:
            TRANSFORMS.build(transform)
    dataset = f'{cfg.default_scope}.{cfg.train_dataloader.dataset.type}'
    assert DATASETS.get(dataset) is not None


@pytest.mark.parametrize('path', ENTRY_POINTS, ids=lambda path: path.stem)
def test_entry_points_add_nothing_to_a_named_config(path):
    text = path.read_text()
    base = re.search(r"_base_ = \['(.+?)'\]", text)[1]
    assert load(path).to_dict() == load(path.parent / base).to_dict()
    code = [line for line in text.splitlines() if not line.startswith('#')]
    assert len(code) == 1


def test_the_demo_names_the_classes_of_the_demo_data():
    for path in (ROOT / 'demo').glob('*.py'):
        meta = load(path).train_dataloader.dataset.metainfo
        assert tuple(meta.classes) == DEMO_CLASSES
        assert [tuple(colour) for colour in meta.palette
                ] == [tuple(colour) for colour in DEMO_PALETTE]


@pytest.mark.parametrize('folder', ['upernet', 'semantic_fpn'])
def test_tables_come_from_the_metafile(folder):
    meta = yaml.safe_load((ROOT / folder / 'metafile.yml').read_text())
    table = (ROOT / folder / 'README.md').read_text()
    names = {path.stem for path in (ROOT / folder).glob('*.py')}
    assert {model['Name'] for model in meta['Models']} == names
    for model in meta['Models']:
        name, cost = model['Name'], model['Metadata']
        assert model['Config'] == f'configs/{folder}/{name}.py'
        assert re.search(
            rf'\| \[{name}\]\({name}\.py\) '
            rf'\| {cost["Parameters"] / 1e6:.2f} \([\d.]+\) '
            rf'\| {cost["FLOPs"] / 1e9:.2f} \([\d.]+\) \|', table), name
        # Scores appear only if somebody measured them.
        assert 'Results' not in model
