"""Parameters and multiply-adds of models, against formulas and the paper."""

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from mmanchor.analysis.complexity import (
    build_test_model,
    complexity_of_forms,
    count_complexity,
    default_size,
    switch_to_deploy,
)
from mmanchor.models import AnchorFormer
from mmanchor.utils.config import load_config
from mmanchor.utils.errors import UserError


def test_a_convolution_costs_its_weights_at_every_output_pixel():
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
    counts = count_complexity(conv, (10, 20))
    assert counts.params == 8 * 3 * 9
    assert counts.macs == counts.params * 5 * 10


def test_counting_is_silent(monkeypatch):
    logger, said = MMLogger.get_current_instance(), []
    monkeypatch.setattr(logger, 'callHandlers', said.append)
    level = logger.level
    count_complexity(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU()), (10, 20))
    assert not said and logger.level == level


@pytest.mark.parametrize('deploy', [False, True])
def test_backbone_counts_agree_with_the_formulas(deploy):
    width, layers, heads, anchors, ratio = 32, 2, 2, 5, 2
    model = AnchorFormer(
        dict(embed_dims=width, num_layers=layers, num_heads=heads, mlp_ratio=ratio),
        img_size=32,
        patch_size=8,
        num_anchors=anchors,
        final_norm=False,
        deploy=deploy,
    ).eval()
    tokens = 16
    head_width = width // heads
    keys = heads * anchors if deploy else width
    linear = width * (keys + width) + width * width + 2 * ratio * width * width
    # Scores, A^T V and A (A^T V): tokens x anchors x width each, over all
    # heads.
    mixing = 3 * tokens * anchors * width
    if deploy:
        # A^T X and A (A^T X ...) over all channels, and the means' way
        # through the two projections, which tokens do not take.
        mixing = 2 * tokens * keys * width + 2 * keys * width * head_width
        mixing -= tokens * 2 * width * width
    embedding = tokens * width * 3 * 8 * 8
    norms = 2 * tokens * width * 5  # the counter's 5 for an affine LayerNorm
    want = layers * (tokens * linear + mixing + norms) + embedding
    assert count_complexity(model, (32, 32)).macs == want
    biases = width + ratio * width + width + 4 * width
    params = layers * (linear + biases) + 3 * 64 * width + width
    params += tokens * width  # position embedding
    params += 0 if deploy else layers * anchors * head_width
    assert sum(p.numel() for p in model.parameters()) == params


@pytest.mark.parametrize(
    'name, params, macs',
    [('upernet_anchorformer_ade', 49.6e6, 928.1e9), ('fpn_anchorformer_ade', 21.6e6, 193.7e9)],
)
def test_segmentors_cost_no_more_than_the_paper_reports(name, params, macs):
    """Table 3 of the paper: 512 x 2048, 150 classes; ours in deploy form."""
    forms = complexity_of_forms(load_config(name), (512, 2048))
    assert forms['deploy'].params <= params
    assert forms['deploy'].macs <= macs
    assert forms['deploy'].params < forms['training'].params
    assert forms['deploy'].macs < forms['training'].macs


@pytest.mark.parametrize('depth', [1, 2, 9])
def test_modules_share_out_the_whole(depth):
    cfg = load_config('picodet_anchorformer-t_coco')
    model = build_test_model(cfg)
    whole = count_complexity(model, (64, 96), depth)
    rows = whole.modules
    assert sum(row.params for row in rows) == whole.params
    assert sum(row.macs for row in rows) == whole.macs
    assert max(row.name.count('.') for row in rows) <= depth - 1
    if depth == 1:
        assert [row.name for row in rows] == ['backbone', 'neck', 'bbox_head']


def test_what_is_shared_counts_once_and_runs_twice():
    conv = nn.Conv2d(3, 3, 1, bias=False)
    model = nn.Sequential(conv, nn.Sequential(conv, nn.BatchNorm2d(3))).eval()
    rows = {row.name: row for row in count_complexity(model, (2, 2), 1).modules}
    assert (rows['0'].params, rows['0'].macs) == (9, 2 * 9 * 4)
    assert (rows['1'].params, rows['1'].macs) == (6, 2 * 3 * 4)


def test_depth_must_reach_a_module():
    with pytest.raises(ValueError, match='depth must be 0 or more, got -1'):
        count_complexity(nn.Conv2d(3, 8, 3), (8, 8), -1)


def test_training_only_heads_are_not_counted():
    cfg = load_config('upernet_anchorformer-demo_1xb8-1100_demo-128')
    model = build_test_model(cfg)
    assert model.auxiliary_head is None and not model.training
    assert switch_to_deploy(model) > 0


def test_a_model_without_a_deploy_form_has_one_row():
    cfg = load_config(
        'upernet_anchorformer-demo_1xb8-1100_demo-128', {'model.backbone.attention': 'softmax'}
    )
    # The backbone offers the switch, whatever its attention makes of it.
    forms = complexity_of_forms(cfg, (64, 64))
    assert forms['training'] == forms['deploy']


def test_sizes_that_the_model_cannot_take_are_refused():
    cfg = Config(
        dict(
            default_scope='mmengine',
            model=dict(
                type='mmanchor.SimpleFeaturePyramid', in_channels=8, out_channels=(4,), scales=(2,)
            ),
        )
    )
    with pytest.raises(UserError, match='32 x 48'):
        complexity_of_forms(cfg, (32, 48))


def test_two_stage_detectors_are_refused():
    cfg = load_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    with pytest.raises(UserError, match=r'two-stage detector \(FasterRCNN\)'):
        complexity_of_forms(cfg, (32, 48))


def test_sizes_that_a_model_asserts_are_refused(monkeypatch):
    def forward(self, x):
        assert x.shape[2:] == (64, 64), 'its size'

    monkeypatch.setattr(AnchorFormer, 'forward', forward)
    cfg = Config(dict(default_scope='mmengine', model=dict(type='mmanchor.AnchorFormer')))
    with pytest.raises(UserError, match='AssertionError: its size'):
        complexity_of_forms(cfg, (32, 48))


@pytest.mark.parametrize(
    'name, size',
    [
        ('upernet_anchorformer_ade', (512, 2048)),
        # No step resizes: the crop that is trained on.
        ('upernet_anchorformer-demo_1xb8-1100_demo-128', (128, 128)),
        ('mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py', (1024, 1024)),
        ('mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', (1024, 2048)),
        ('mmpretrain::efficientnet/efficientnet-b3_8xb32_in1k.py', (300, 300)),
        ('picodet_anchorformer-t_coco', (416, 416)),
        ('picodet_esnet-l_8xb32-250e_coco-640', (640, 640)),
    ],
)
def test_the_size_that_is_usually_counted(name, size):
    assert default_size(load_config(name)) == size


def test_a_pipeline_without_a_size_asks_for_one():
    cfg = load_config('picodet_anchorformer-t_coco')
    cfg.test_pipeline = [dict(type='PackDetInputs')]
    with pytest.raises(UserError, match='give the size by --shape'):
        default_size(cfg)


def test_padding_to_a_size_at_test_time_is_counted():
    cfg = load_config('upernet_anchorformer_ade')
    cfg.model.data_preprocessor.test_cfg = dict(size=(640, 320))
    assert default_size(cfg) == (640, 320)


@pytest.mark.parametrize(
    'name, params, macs', [('t', 2.9e6, 1.1e9), ('s', 5.5e6, 1.7e9), ('b', 8.6e6, 2.8e9)]
)
def test_detectors_keep_to_the_papers_budgets(name, params, macs):
    """Table 2 of the paper, at 416 x 416; ours in deploy form."""
    cfg = load_config(f'picodet_anchorformer-{name}_coco')
    counts = complexity_of_forms(cfg, (416, 416))['deploy']
    assert 0.9 * params <= counts.params <= params
    assert counts.macs <= macs
