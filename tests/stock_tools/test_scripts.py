"""The toolboxes' own scripts, as a user runs them, with nothing imported first."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mmdet
import mmpretrain
import mmseg
import pytest
import tiny_project
import torch
from fresh_python import run_python

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
MMDET, MMSEG, MMPRETRAIN = (
    Path(package.__file__).parent / '.mim' / 'tools' for package in (mmdet, mmseg, mmpretrain)
)
# Ours by name, as in an installed environment without a clone.
DETECTION = re.sub(
    r'\{picodet!r\}',
    "'mmanchor::picodet/picodet_esnet-s_4xb80-300e_coco-320.py'",
    tiny_project.PICODET,
)
CLASSIFICATION = re.sub(
    r'\{classifier!r\}',
    "'mmanchor::anchorformer/anchorformer-t_8xb128-300e_in1k-224.py'",
    tiny_project.CLASSIFICATION,
)


@pytest.fixture(scope='module')
def tool(site, tmp_path_factory) -> Callable[..., str]:
    """Run a script of a toolbox in a folder with configs; returns what it says."""
    root = tmp_path_factory.mktemp('stock')
    data = tiny_project.make_data(root / 'data')
    tiny_project.write_config(root, DETECTION, data, 'det')
    named = tiny_project.SEGMENTATION.replace('visualizer = dict(', "visualizer = dict(name='v', ")
    tiny_project.write_config(root, named, data, 'seg')
    tiny_project.write_config(
        root, CLASSIFICATION, tiny_project.make_folders(root / 'folders'), 'cls'
    )

    def run(script: Path, *words: object) -> str:
        result = run_python([script, *words], root, [site, ROOT])
        return result.stdout + result.stderr

    run.root, run.site = root, site
    return run


@pytest.fixture(scope='module')
def detector(tool) -> str:
    """A checkpoint of mmdet's tools/train.py."""
    tool(MMDET / 'train.py', 'det.py', '--work-dir', 'det')
    return 'det/epoch_2.pth'


@pytest.fixture(scope='module')
def segmentor(tool) -> str:
    """A checkpoint of mmseg's tools/train.py."""
    tool(MMSEG / 'train.py', 'seg.py', '--work-dir', 'seg')
    return 'seg/iter_4.pth'


@pytest.fixture(scope='module')
def classifier(tool) -> str:
    """A checkpoint of mmpretrain's tools/train.py."""
    tool(MMPRETRAIN / 'train.py', 'cls.py', '--work-dir', 'cls')
    return 'cls/epoch_2.pth'


def test_mmdet_resumes(tool, detector):
    text = tool(
        MMDET / 'train.py',
        *('det.py', '--work-dir', 'det', '--resume'),
        *('--cfg-options', 'train_cfg.max_epochs=3'),
    )
    assert 'resumed epoch: 2' in text and (tool.root / 'det' / 'epoch_3.pth').is_file()


def test_mmdet_tests_and_evaluates_what_it_wrote(tool, detector):
    test = tool(
        MMDET / 'test.py',
        *('det.py', detector, '--work-dir', 'test', '--out', 'out.pkl', '--show-dir', 'shown'),
    )
    assert 'coco/bbox_mAP' in test
    assert list(tool.root.glob('test/*/shown/*.jpg'))
    again = tool(MMDET / 'analysis_tools' / 'eval_metric.py', 'det.py', 'out.pkl')
    assert 'bbox_mAP' in again
    tool(MMDET / 'analysis_tools' / 'confusion_matrix.py', 'det.py', 'out.pkl', 'matrix')
    assert (tool.root / 'matrix' / 'confusion_matrix.png').is_file()


def test_mmdet_augments_while_testing(tool, detector):
    assert 'coco/bbox_mAP' in tool(
        MMDET / 'test.py', 'det.py', detector, '--work-dir', 'tta', '--tta'
    )


def test_mmdet_counts_operations(tool):
    assert 'Flops' in tool(MMDET / 'analysis_tools' / 'get_flops.py', 'det.py')


@pytest.mark.parametrize('flags', [['--out', 'masks', '--show-dir', 'shown_masks'], ['--tta']])
def test_mmseg_tests(tool, segmentor, flags):
    assert 'mIoU' in tool(MMSEG / 'test.py', 'seg.py', segmentor, '--work-dir', 'seg_test', *flags)
    if '--out' in flags:
        assert list(tool.root.glob('masks/*.png'))


def test_mmpretrain_tests(tool, classifier):
    text = tool(MMPRETRAIN / 'test.py', 'cls.py', classifier, '--work-dir', 'cls_test')
    assert 'accuracy/top1' in text


def test_mmpretrain_evaluates_what_it_wrote(tool, classifier):
    tool(MMPRETRAIN / 'test.py', 'cls.py', classifier, '--work-dir', 'cls_out', '--out', 'cls.pkl')
    scores = MMPRETRAIN / 'analysis_tools' / 'eval_metric.py'
    assert 'accuracy/top1' in tool(scores, 'cls.pkl', '--metric', 'type=Accuracy', 'topk=1,')
    assert 'tensor' in tool(
        MMPRETRAIN / 'analysis_tools' / 'confusion_matrix.py', 'cls.py', 'cls.pkl'
    )


@pytest.mark.parametrize(
    'script, name',
    [
        (MMDET / 'analysis_tools' / 'browse_dataset.py', 'det'),
        (MMSEG / 'analysis_tools' / 'browse_dataset.py', 'seg'),
    ],
    ids=['mmdet', 'mmseg'],
)
def test_data_sets_are_browsed(tool, script, name):
    tool(script, f'{name}.py', '--output-dir', f'browse_{name}', '--not-show')
    assert [*tool.root.glob(f'browse_{name}/**/*.png'), *tool.root.glob(f'browse_{name}/**/*.jpg')]


@pytest.mark.parametrize(
    'script, checkpoint',
    [
        (MMDET / 'model_converters' / 'publish_model.py', 'detector'),
        (MMSEG / 'misc' / 'publish_model.py', 'segmentor'),
        (MMPRETRAIN / 'model_converters' / 'publish_model.py', 'classifier'),
    ],
    ids=['mmdet', 'mmseg', 'mmpretrain'],
)
def test_toolboxes_publish_training_checkpoints(tool, script, checkpoint, request):
    tool(script, request.getfixturevalue(checkpoint), f'published_{checkpoint}.pth')
    assert list(tool.root.glob(f'published_{checkpoint}*-*.pth'))


def test_two_processes_train_and_test_without_a_gpu(tool):
    if torch.cuda.is_available():
        pytest.skip('takes two GPUs here')
    with socket.socket() as free:
        free.bind(('', 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    variables = dict(PORT=str(port), PATH=paths, PYTHONPATH=f'{tool.site}{os.pathsep}{ROOT}')
    for words in (
        ['dist_train.sh', 'det.py', '2', '--work-dir', 'dist'],
        ['dist_test.sh', 'det.py', 'dist/epoch_2.pth', '2', '--work-dir', 'dist'],
    ):
        result = subprocess.run(
            ['bash', MMDET / words[0], *words[1:]],
            cwd=tool.root,
            env={**os.environ, 'OMP_NUM_THREADS': '1', **variables},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-2000:]
        assert 'coco/bbox_mAP' in result.stdout + result.stderr


def test_published_weights_serve_as_a_checkpoint(tool, detector):
    run_python(['-m', 'mmanchor', 'publish', detector, 'net.pth'], tool.root, [ROOT])
    (path,) = tool.root.glob('net-*.pth')
    assert 'coco/bbox_mAP' in tool(MMDET / 'test.py', 'det.py', path, '--work-dir', 'published')
