"""The configs of the project, sorted by what they are for."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2] / 'configs'
PATHS = sorted(path for path in ROOT.rglob('*.py') if '_base_' not in str(path))
ENTRY_POINTS = [path for path in PATHS if path.parent == ROOT]
NAMED = [path for path in PATHS if path.parent != ROOT]

NAME = re.compile(
    r'(?P<model>[a-z-]+)_(?P<backbone>[a-z]+)-(?P<arch>\w+)_'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<length>\d+[ke]?)_'
    r'(?P<dataset>\w+)-(?P<size>\d+)'
)
CLASSIFIER = re.compile(
    r'(?P<model>[a-z-]+?)-(?P<arch>[tsb]|w?\d+s?)(-(?P<variant>\w+))?_'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<length>\d+e)_'
    r'(?P<dataset>in1k|digits)-(?P<size>\d+)'
)
CLASSIFICATION = [path for path in NAMED if CLASSIFIER.fullmatch(path.stem)]
DETECTORS = {'picodet': 'mmanchor.PicoDet', 'retinanet': 'RetinaNet', 'mask-rcnn': 'MaskRCNN'}
DETECTION = [path for path in NAMED if path.stem.partition('_')[0] in DETECTORS]
PICODET = [path for path in DETECTION if path.stem.startswith('picodet_')]
PRETRAINING = [path for path in NAMED if path.parent.name == 'pretrain']
SEGMENTATION = [path for path in NAMED if path not in DETECTION + CLASSIFICATION + PRETRAINING]
ARCHS = dict(t='tiny', s='small', b='base')
TRUNKS = dict(
    anchorformer='mmanchor.AnchorFormer',
    deit='mmanchor.AnchorFormer',
    levit='mmanchor.AnchorLeViT',
    sparsifiner='mmanchor.Sparsifiner',
    **{'anchor-levit': 'mmanchor.AnchorLeViT'},
)


def by_stem(paths):
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


def load(path):
    return Config.fromfile(str(path))
