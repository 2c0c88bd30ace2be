"""Types with the prefix resolve in every scope, in a fresh process too."""

import subprocess
import sys

import pytest

BUILD = """
import importlib
import mmanchor
from mmengine.registry import DefaultScope
for scope in ('mmseg', 'mmdet', 'mmpretrain', 'mmengine'):
    with DefaultScope.overwrite_default_scope(scope):
        registry = importlib.import_module(scope + '.registry').MODELS
        model = registry.build(dict(
            type='mmanchor.AnchorFormer', img_size=32, num_anchors=4,
            arch=dict(embed_dims=16, num_layers=1, num_heads=2, mlp_ratio=2)))
        print(scope, type(model).__module__)
"""


@pytest.mark.smoke
def test_a_fresh_process_builds_it_in_every_scope():
    out = subprocess.run([sys.executable, '-c', BUILD], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == [
        word
        for scope in ('mmseg', 'mmdet', 'mmpretrain', 'mmengine')
        for word in (scope, 'mmanchor.models.backbones.anchorformer')
    ]


def test_it_builds_inside_a_nested_scope():
    """A detector of mmdet inside a segmentor's scope, as configs nest them."""
    from mmengine.registry import MODELS, DefaultScope

    backbone = dict(
        type='mmanchor.AnchorFormer',
        img_size=32,
        arch=dict(embed_dims=16, num_layers=1, num_heads=2, mlp_ratio=2),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(
            dict(
                type='mmdet.SingleStageDetector',
                _scope_='mmdet',
                backbone=backbone,
                bbox_head=dict(type='FCOSHead', num_classes=2, in_channels=16),
            )
        )
    assert type(model.backbone).__name__ == 'AnchorFormer'
    assert type(model).__module__.startswith('mmdet')
