"""Sparsifiner's configs train: a classifier, and a segmentor over its maps."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, MODELS, DefaultScope
from mmengine.structures import PixelData

ROOT = Path(__file__).parents[2] / 'configs'
SEGMENTOR = ROOT / 'upernet/upernet_sparsifiner-s_8xb2-160k_ade20k-512.py'
CLASSIFIERS = sorted((ROOT / 'sparsifiner').glob('*.py'))
TINY = dict(embed_dims=16, num_layers=12, num_heads=2, mlp_ratio=2)


def train_a_step(cfg, data):
    """One step with the config's optimizer and hook; what moved, and losses."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        (hook,) = (
            HOOKS.build(each)
            for each in cfg.custom_hooks
            if each['type'] == 'mmanchor.AuxiliaryLossHook'
        )
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    model.init_weights()
    before = {k: v.clone() for k, v in model.named_parameters()}
    runner = SimpleNamespace(model=model.train())
    hook.before_train(runner)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        losses = model.train_step(data, wrapper)
    hook.after_train(runner)
    moved = {k for k, v in model.named_parameters() if (v != before[k]).any()}
    return model, moved, losses


def test_upernet_trains_a_step_on_maps_of_another_size():
    from mmseg.structures import SegDataSample

    cfg = Config.fromfile(str(SEGMENTOR))
    cfg.model.backbone.update(arch=TINY, img_size=64, drop_path_rate=0.0)
    cfg.model.neck.update(in_channels=16, out_channels=(8, 8, 16, 16))
    cfg.model.decode_head.update(in_channels=[8, 8, 16, 16], channels=8)
    cfg.model.auxiliary_head.update(in_channels=16, channels=8)
    # Else one step moves nothing that float32 would show.
    cfg.optim_wrapper.paramwise_cfg.layer_decay_rate = 1.0
    cfg.model.data_preprocessor.size = (96, 64)
    samples = []
    for _ in range(2):
        labels = torch.randint(150, (1, 96, 64))
        samples.append(
            SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=dict(img_shape=(96, 64)))
        )
    images = [torch.randint(255, (3, 96, 64)).byte() for _ in samples]
    model, moved, losses = train_a_step(cfg, dict(inputs=images, data_samples=samples))
    assert losses['backbone.loss_reconstruction'].isfinite()
    assert losses['loss'] > losses['backbone.loss_reconstruction']
    assert {f'backbone.layers.{i}.attn.predictor.basis' for i in range(12)} <= moved
    maps = model.eval().extract_feat(torch.rand(1, 3, 48, 80))
    assert [each.shape[2:] for each in maps] == [(12, 20), (6, 10), (3, 5), (2, 3)]


@pytest.mark.parametrize('path', CLASSIFIERS, ids=lambda path: path.stem)
def test_a_classifier_trains_a_step(path):
    from mmpretrain.structures import DataSample

    cfg = Config.fromfile(str(path))
    cfg.model.backbone.update(arch=TINY, img_size=64, drop_path_rate=0.0)
    cfg.model.head.update(in_channels=16, num_classes=4)
    cfg.model.data_preprocessor = dict(num_classes=4, to_onehot=True)
    if 'teacher' in cfg.model:  # the config's would be downloaded
        cfg.model.teacher = dict(cfg.model.copy(), type='ImageClassifier')
        for key in ('distillation', 'distillation_weight', 'teacher'):
            cfg.model.teacher.pop(key)
    samples = [DataSample().set_gt_label(each) for each in (0, 3)]
    model, moved, losses = train_a_step(
        cfg, dict(inputs=torch.rand(2, 3, 64, 64), data_samples=samples)
    )
    names = {name for name, _ in model.named_parameters()}
    assert losses['backbone.loss_reconstruction'].isfinite()
    assert ('loss_distillation' in losses) == ('teacher' in cfg.model)
    assert {name for name in names if '.predictor.' in name} <= moved


def test_the_distilled_recipe_scales_the_releases():
    cfg = Config.fromfile(str(ROOT / 'sparsifiner/sparsifiner-s-distilled_8xb128-50e_in1k-224.py'))
    scale = cfg.auto_scale_lr.base_batch_size / (8 * 168)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(8e-5 * scale, 0.01)
    predictor = cfg.optim_wrapper.paramwise_cfg.custom_keys.predictor
    assert predictor.lr_mult == pytest.approx(3e-4 / 8e-5)
    warm_up, cosine = cfg.param_scheduler
    assert warm_up.end == cosine.begin and cosine.T_max == 50 - cosine.begin
    assert cosine.eta_min == pytest.approx(2e-6 * scale, 0.02)
    assert cfg.train_cfg.type == 'EpochBasedTrainLoop'
