"""mmcv.ops imports without compiled operators, and its NMS is right."""

import importlib.util
import inspect
import os
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms, nms

from mmanchor.compat import mmcv_ops
from mmanchor.compat.mmcv_ext.nms import nms as stand_in_nms

fallback_only = pytest.mark.skipif(
    mmcv_ops.has_compiled_ops(), reason='mmcv has compiled operators here'
)


def plain_nms(boxes, scores, threshold, offset=0):
    """Greedy NMS, one pair of boxes at a time."""

    def side(low, high):
        return max(high - low + offset, 0)

    def iou(a, b):
        inner = side(max(a[0], b[0]), min(a[2], b[2])) * side(max(a[1], b[1]), min(a[3], b[3]))
        areas = [side(c[0], c[2]) * side(c[1], c[3]) for c in (a, b)]
        return inner / (sum(areas) - inner)

    kept = []
    for index in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(iou(boxes[index], boxes[k]) <= threshold for k in kept):
            kept.append(index)
    return kept


def random_boxes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 40, (count, 2), generator=generator)
    sides = torch.randint(1, 20, (count, 2), generator=generator)
    scores = torch.randperm(count, generator=generator) / count
    return torch.cat([corners, corners + sides], 1).float(), scores


@pytest.mark.smoke
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.7])
def test_nms_keeps_what_a_plain_nms_keeps(offset, threshold):
    boxes, scores = random_boxes(60)
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    expected = plain_nms(boxes.tolist(), scores.tolist(), threshold, offset)
    assert kept.tolist() == expected
    assert torch.equal(dets[:, :4], boxes[kept])
    assert torch.equal(dets[:, 4], scores[kept])


def test_offset_changes_what_touching_boxes_share():
    # Sides 2 and 1 apart: IoU 1/3 as areas, 6/12 counted in pixels.
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 1.0, 2.0, 3.0]])
    scores = torch.tensor([0.9, 0.8])
    assert len(nms(boxes, scores, 0.4, offset=0)[1]) == 2
    assert len(nms(boxes, scores, 0.4, offset=1)[1]) == 1


def test_nms_drops_low_scores_and_keeps_at_most_max_num():
    boxes, scores = random_boxes(40)
    _, kept = nms(boxes, scores, 0.9, score_threshold=0.5, max_num=4)
    likely = scores > 0.5
    expected = plain_nms(boxes[likely].tolist(), scores[likely].tolist(), 0.9)
    assert kept.tolist() == likely.nonzero()[:, 0][expected][:4].tolist()


def test_nms_of_numpy_arrays_gives_numpy_arrays():
    boxes, scores = random_boxes(10)
    dets, kept = nms(boxes.numpy(), scores.numpy(), 0.5)
    assert isinstance(dets, np.ndarray) and isinstance(kept, np.ndarray)
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.5)


def test_nms_of_no_boxes_is_empty():
    dets, kept = nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5) and kept.shape == (0,)


@fallback_only
@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16, torch.double])
def test_nms_takes_other_float_dtypes(dtype):
    boxes, scores = random_boxes(20)
    kept = stand_in_nms(boxes.to(dtype), scores, 0.5, 0)
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.5)


@pytest.mark.smoke
@pytest.mark.parametrize('split_threshold', [10000, 5])
def test_batched_nms_treats_each_class_alone(split_threshold):
    boxes, scores = random_boxes(50, seed=1)
    classes = torch.arange(50) % 3
    config = dict(type='nms', iou_threshold=0.31, split_thr=split_threshold, max_num=20)
    dets, kept = batched_nms(boxes, scores, classes, config)
    expected = []
    for label in range(3):
        own = (classes == label).nonzero()[:, 0]
        own_kept = plain_nms(boxes[own].tolist(), scores[own].tolist(), 0.31)
        expected += own[own_kept].tolist()
    expected.sort(key=lambda index: -scores[index])
    assert kept.tolist() == expected[:20]
    assert torch.equal(dets[:, 4], scores[kept])


def test_class_agnostic_nms_ignores_classes():
    boxes, scores = random_boxes(30)
    config = dict(type='nms', iou_threshold=0.31)
    kept = batched_nms(boxes, scores, torch.arange(30), config, True)[1]
    assert kept.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.31)


@fallback_only
@pytest.mark.smoke
def test_missing_op_says_its_name_and_the_cure():
    from mmcv.ops import border_align

    with pytest.raises(NotImplementedError, match=r"'border_align_forward'.*install mmcv"):
        border_align(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 4), 2)


@fallback_only
def test_fallback_is_found_as_a_real_module_is():
    import mmcv._ext as extension

    spec = importlib.util.find_spec('mmcv._ext')
    assert spec.loader is not None and spec.origin == extension.__file__
    assert pkgutil.get_loader('mmcv._ext') if sys.version_info < (3, 12) else extension.__loader__
    assert inspect.getmodule(extension.get_compiler_version) is extension
    assert 'OPS.nms' in inspect.getsource(extension.nms)
    assert 'nms' in dict(inspect.getmembers(extension))
    assert inspect.unwrap(extension.border_align_forward).__name__ == 'border_align_forward'
    assert not hasattr(extension, '__path__')


@fallback_only
def test_environment_report_needs_no_compiler():
    from mmcv.utils import collect_env

    assert 'torchvision' in collect_env()['MMCV Compiler']


def test_installing_again_adds_no_finder():
    mmcv_ops.install()
    finders = [item for item in sys.meta_path if isinstance(item, mmcv_ops.FallbackFinder)]
    assert len(finders) == 1


def run_with_fake_extension(folder: Path, code: str) -> str:
    """Run code where a package mmcv has a real (Python) ``_ext``."""
    package = folder / 'mmcv'
    package.mkdir()
    (package / '__init__.py').write_text('')
    (package / '_ext.py').write_text('nms = "the real one"')
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)], capture_output=True, text=True, cwd=folder
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_real_extension_wins(tmp_path):
    output = run_with_fake_extension(
        tmp_path,
        """
        import mmanchor
        from mmanchor.compat import mmcv_ops
        import mmcv._ext
        print(mmcv._ext.nms, mmcv_ops.has_compiled_ops())
        """,
    )
    assert output.strip() == 'the real one True'


def test_real_extension_wins_from_a_finder_added_later(tmp_path):
    output = run_with_fake_extension(
        tmp_path,
        """
        import sys
        import mmanchor
        from importlib.machinery import PathFinder
        import mmcv

        class Late:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == 'mmcv._ext':
                    return PathFinder.find_spec(name, [folder], target)

        folder = mmcv.__path__[0]
        mmcv.__path__ = []
        sys.meta_path.append(Late)
        import mmcv._ext
        print(mmcv._ext.nms)
        """,
    )
    assert output.strip() == 'the real one'


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code)],
        capture_output=True,
        text=True,
        # The hook of an installation would import mmanchor first.
        env={**os.environ, 'MMANCHOR_NO_HOOK': '1'},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@fallback_only
@pytest.mark.slow
def test_import_that_failed_before_mmanchor_works_after_it():
    assert run("""
        try:
            import mmdet.models
        except ImportError as error:
            print(error.name)
        import mmanchor
        import mmdet.models
        from mmdet.registry import MODELS
        print(MODELS.get('RTMDetHead').__name__)
    """).splitlines()[-2:] == ['mmcv._ext', 'RTMDetHead']


@pytest.mark.slow
def test_operators_are_looked_for_on_python_3_14():
    assert (
        run("""
        import pkgutil
        vars(pkgutil).pop('find_loader', None)
        import mmanchor
        from mmcv.utils import ext_loader
        from mmengine.utils.dl_utils import mmcv_full_available
        print(ext_loader.check_ops_exist(), mmcv_full_available())
    """)
        == 'True True'
    )
