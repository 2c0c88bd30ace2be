"""What ``mmanchor doctor`` looks at: plain functions that return findings.

Every check survives what it is there to find: a package that is missing or
does not start is a finding, not an exception.
"""

import importlib
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib import metadata

from packaging.requirements import Requirement

from . import mmcv_ops, stack
from .findings import BROKEN, NUMPY_CURE, OK, OPENCV_CURE, PAIR_CURE, WARNING, Finding, look_at

CHECKED_APART = ('torch', 'torchvision', 'numpy', 'pycocotools')
# Workers of a data loader hand batches over in shared memory.
SMALL_SHARED_MEMORY = 512 * 2**20


def check_python() -> list[Finding]:
    """The interpreter and the machine."""
    value = f'{platform.python_version()} ({platform.platform()})'
    is_old = sys.version_info < (3, 10)
    cure = 'make an environment with Python 3.10 or newer' if is_old else ''
    return [Finding('Python', BROKEN if is_old else OK, value, cure)]


def check_stack() -> list[Finding]:
    """Which mm* stack is installed, in which versions."""
    found = stack.find_stack()
    problems = stack.find_problems(found)
    is_one = found.name not in ('none', 'mixed')
    findings = [Finding('stack', OK, found.name)] if is_one else []
    findings += [Finding(name, OK, version) for name, version in found.versions.items()]
    for problem in problems:
        value, _, cure = problem.partition(': ')
        findings.append(Finding('stack', BROKEN, value, cure))
    for module, names in found.modules.items():
        if len(names) > 1 and found.name != 'mixed':
            findings.append(
                Finding(
                    module,
                    BROKEN,
                    f'{" and ".join(names)} overwrite each other',
                    f'pip uninstall {" ".join(names)}, then install the one you want',
                )
            )
    return findings


def check_requirements() -> list[Finding]:
    """The distributions that mmanchor itself requires, by its metadata."""
    try:
        lines = metadata.requires('mmanchor') or []
    except metadata.PackageNotFoundError:
        # Run from a folder that was never installed: nothing is declared.
        return []
    findings = []
    for requirement in map(Requirement, lines):
        if requirement.marker or requirement.name in CHECKED_APART:
            continue
        version = stack.distribution_version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            findings.append(
                Finding(
                    requirement.name,
                    BROKEN,
                    version or 'not installed',
                    f'pip install "{requirement}"',
                )
            )
    return findings


def check_torch() -> list[Finding]:
    """torch and torchvision start, match, and torchvision's NMS runs."""

    def torch_version() -> str:
        import torch

        return torch.__version__

    def torchvision_version() -> str:
        import torch
        import torchvision

        boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
        kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9]), 0.5)
        if kept.tolist() != [1]:
            raise RuntimeError(f'torchvision::nms gave {kept.tolist()}')
        return f'{torchvision.__version__}, its compiled nms works'

    findings = [
        look_at('torch', torch_version, 'pip install --force-reinstall torch'),
        look_at('torchvision', torchvision_version, PAIR_CURE),
    ]
    wanted = _torch_of_torchvision()
    version = stack.distribution_version('torch')
    if wanted and version and not stack.is_supported(version, wanted):
        findings.append(
            Finding(
                'torchvision', BROKEN, f'built for torch{wanted}, found torch {version}', PAIR_CURE
            )
        )
    return findings


def _torch_of_torchvision() -> str | None:
    """The torch versions that the installed torchvision asks for."""
    try:
        required = metadata.requires('torchvision') or []
    except metadata.PackageNotFoundError:
        return None
    for line in required:
        requirement = Requirement(line)
        if requirement.name == 'torch' and not requirement.marker:
            return str(requirement.specifier)
    return None


def check_numpy() -> list[Finding]:
    """numpy, and what was compiled against it."""

    def numpy_version() -> str:
        import numpy as np

        return np.__version__

    def torch_to_numpy() -> str:
        import torch

        return f'{torch.ones(2).numpy().sum():.0f} of 2 ones came through'

    def coco_masks() -> str:
        import numpy as np
        from pycocotools import mask

        area = mask.area(mask.encode(np.ones((2, 3), 'u1', order='F')))
        return f'area {area} of 6 counted'

    return [
        look_at('numpy', numpy_version, 'pip install numpy'),
        look_at('torch to numpy', torch_to_numpy, NUMPY_CURE),
        look_at('pycocotools', coco_masks, 'pip install pycocotools'),
    ]


def check_gpu() -> list[Finding]:
    """The GPU, or why there is none."""

    def describe() -> str:
        import torch

        if torch.cuda.is_available():
            properties = [
                torch.cuda.get_device_properties(index)
                for index in range(torch.cuda.device_count())
            ]
            return ', '.join(
                f'{item.name} ({item.total_memory / 2**30:.0f} GiB)' for item in properties
            )
        if torch.backends.mps.is_available():
            return 'Apple MPS'
        return 'none: everything runs on the CPU'

    finding = look_at('GPU', describe, 'install torch, then look again')
    if finding.value.startswith('none') and os.path.exists('/proc/driver/nvidia/version'):
        return [
            Finding(
                'GPU',
                WARNING,
                'an NVIDIA driver runs here, but torch cannot use it',
                'install the torch build for your driver (see '
                'nvidia-smi, "CUDA Version"), and give the container the GPU',
            )
        ]
    return [finding]


def check_opencv() -> list[Finding]:
    """OpenCV starts, and only one version of it is installed."""

    def version() -> str:
        import cv2

        return cv2.__version__

    findings = [look_at('OpenCV', version, 'pip install opencv-python-headless')]
    names = (
        'opencv-python',
        'opencv-python-headless',
        'opencv-contrib-python',
        'opencv-contrib-python-headless',
    )
    versions = {name: stack.distribution_version(name) for name in names}
    installed = {name: item for name, item in versions.items() if item}
    if len(set(installed.values())) > 1:
        text = ', '.join(f'{name} {v}' for name, v in installed.items())
        findings.append(
            Finding('OpenCV', WARNING, f'two versions overwrite each other: {text}', OPENCV_CURE)
        )
    return findings


def check_pkg_resources() -> list[Finding]:
    """``pkg_resources``, which setuptools 81 dropped and MMEngine uses."""
    version = stack.distribution_version('setuptools') or 'not installed'
    if stack.find_stack().name != 'openmmlab':
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            importlib.import_module('pkg_resources')
    except ImportError:
        return [
            Finding(
                'setuptools',
                WARNING,
                f'{version}, without pkg_resources: MMEngine cannot resolve '
                '`mmdet::...` configs and model names',
                'pip install "setuptools<81"',
            )
        ]
    return [Finding('setuptools', OK, f'{version}, with pkg_resources')]


def check_compiled_ops() -> list[Finding]:
    """mmcv's compiled operators, or what stands in for them."""

    if 'mmcv' not in stack.find_stack().modules:
        return []

    def describe() -> str:
        if not mmcv_ops.has_compiled_ops():
            return (
                'none, which is fine: those that the models of mmdet, mmseg and mmpretrain use '
                'run through torchvision and plain torch; any other says how to get it'
            )
        importlib.import_module(mmcv_ops.EXTENSION)
        return 'compiled'

    return [
        look_at(
            'mmcv.ops',
            describe,
            'mmcv was compiled for another torch: rebuild it, or pip '
            'uninstall mmcv and pip install "mmcv-lite>=2.1,<2.2"',
        )
    ]


def check_toolboxes() -> list[Finding]:
    """Every toolbox that is installed can be imported with its models."""
    found = stack.find_stack()
    if found.name == 'none':
        return []
    findings = []
    for module in ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain'):
        if module not in found.modules:
            findings.append(
                Finding(
                    module,
                    WARNING,
                    'not installed: its tasks cannot run',
                    f'pip install "mmanchor[{_extra_of(found)}]"',
                )
            )
            continue
        target = {'mmengine': 'mmengine.runner', 'mmcv': 'mmcv.ops'}
        name = target.get(module, f'{module}.models')
        findings.append(
            look_at(
                f'import {name}',
                partial(_imported, name),
                f'pip install --force-reinstall "mmanchor[{_extra_of(found)}]"',
            )
        )
    return findings


def _imported(name: str) -> str:
    importlib.import_module(name)
    return 'works'


def _extra_of(found: stack.Stack) -> str:
    return 'onedl' if found.name == 'onedl' else 'openmmlab'


def check_checkpoints() -> list[Finding]:
    """Checkpoints load through the allow-list."""

    if 'mmengine' not in stack.find_stack().modules:
        return []

    def describe() -> str:
        from mmengine.runner import checkpoint

        if checkpoint.load_from_local.__module__ != 'mmanchor.compat.mmengine_patches':
            raise RuntimeError('MMEngine unpickles without the allow-list')
        return 'load through the allow-list, resume works'

    return [look_at('checkpoints', describe, 'import mmanchor before other packages')]


def check_hook() -> list[Finding]:
    """The import hook that brings the repairs to the toolboxes' own scripts."""
    if os.environ.get('MMANCHOR_NO_HOOK', '0') not in ('', '0'):
        value = 'switched off by MMANCHOR_NO_HOOK: start their scripts by `mmanchor run SCRIPT`'
        return [Finding('import hook', OK, value)]
    if '_mmanchor_hook' in sys.modules:
        value = "registered as Python started: the toolboxes' own scripts have the repairs"
        return [Finding('import hook', OK, value)]
    return [
        Finding(
            'import hook',
            WARNING,
            "not installed: the toolboxes' own scripts go without the repairs",
            'install mmanchor again by pip, or start their scripts by `mmanchor run SCRIPT`',
        )
    ]


def check_shared_memory() -> list[Finding]:
    """Room for the batches that data-loading workers hand over."""
    if not os.path.isdir('/dev/shm'):
        return []
    total = shutil.disk_usage('/dev/shm').total
    value = f'{total / 2**20:.0f} MiB in /dev/shm'
    if total >= SMALL_SHARED_MEMORY:
        return [Finding('shared memory', OK, value)]
    return [
        Finding(
            'shared memory',
            WARNING,
            f'{value}: workers may die with "bus error"',
            'docker run --shm-size=2g, or train with --cfg-options train_dataloader.num_workers=0',
        )
    ]


CHECKS: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
    ('Python', check_python),
    ('the stack', check_stack),
    ('requirements', check_requirements),
    ('torch', check_torch),
    ('numpy', check_numpy),
    ('the GPU', check_gpu),
    ('shared memory', check_shared_memory),
    ('OpenCV', check_opencv),
    ('setuptools', check_pkg_resources),
    ('compiled operators', check_compiled_ops),
    ('the toolboxes', check_toolboxes),
    ('checkpoints', check_checkpoints),
    ('the import hook', check_hook),
)


def summarize(findings: list[Finding]) -> dict[str, int]:
    """How many findings have each status."""
    return {
        status: sum(item.status == status for item in findings) for status in (OK, WARNING, BROKEN)
    }
