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
    return [Finding('Python', OK, f'{platform.python_version()} ({platform.platform()})')]


def check_stack() -> list[Finding]:
    """Which mm* stack is installed, in which versions."""
    found = stack.find_stack()
    findings = [Finding(name, OK, version) for name, version in found.versions.items()]
    if found.name not in ('none', 'mixed'):
        findings.insert(0, Finding('stack', OK, found.name))
    for problem in stack.find_problems(found):
        value, _, cure = problem.partition(': ')
        findings.append(Finding('stack', BROKEN, value, cure))
    if found.name != 'mixed':
        findings += [
            Finding(
                module,
                BROKEN,
                f'{" and ".join(names)} overwrite each other',
                f'pip uninstall {" ".join(names)}, then install the one you want',
            )
            for module, names in found.modules.items()
            if len(names) > 1
        ]
    return findings


def check_requirements() -> list[Finding]:
    """The distributions that mmanchor itself requires, by its metadata."""
    return [
        Finding(each.name, BROKEN, version or 'not installed', f'pip install "{each}"')
        for each, version in _unmet('mmanchor')
        if each.name not in CHECKED_APART
    ]


def _unmet(distribution: str) -> list[tuple[Requirement, str | None]]:
    """Requirements of a distribution that are not met, and the versions found."""
    try:
        required = map(Requirement, metadata.requires(distribution) or [])
    except metadata.PackageNotFoundError:
        # Run from a folder that was never installed: nothing is declared.
        return []
    found = [(each, stack.distribution_version(each.name)) for each in required if not each.marker]
    return [
        (each, version)
        for each, version in found
        if version is None or not each.specifier.contains(version, prereleases=True)
    ]


def check_torch() -> list[Finding]:
    """torch and torchvision start, match, and torchvision's NMS runs."""

    def torchvision_version() -> str:
        import torch
        import torchvision

        boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
        kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9]), 0.5)
        if kept.tolist() != [1]:
            raise RuntimeError(f'torchvision::nms gave {kept.tolist()}')
        return f'{torchvision.__version__}, its compiled nms works'

    findings = [
        look_at('torch', partial(_version, 'torch'), 'pip install --force-reinstall torch'),
        look_at('torchvision', torchvision_version, PAIR_CURE),
    ]
    for wanted, version in _unmet('torchvision'):
        if wanted.name == 'torch' and version:
            value = f'built for torch{wanted.specifier}, found torch {version}'
            findings.append(Finding('torchvision', BROKEN, value, PAIR_CURE))
    return findings


def _version(module: str) -> str:
    return __import__(module).__version__


def check_numpy() -> list[Finding]:
    """numpy, and what was compiled against it."""

    def torch_to_numpy() -> str:
        import torch

        return f'{torch.ones(2).numpy().sum():.0f} of 2 ones came through'

    def coco_masks() -> str:
        import numpy as np
        from pycocotools import mask

        area = mask.area(mask.encode(np.ones((2, 3), 'u1', order='F')))
        return f'area {area} of 6 counted'

    return [
        look_at('numpy', partial(_version, 'numpy'), 'pip install numpy'),
        look_at('torch to numpy', torch_to_numpy, NUMPY_CURE),
        look_at('pycocotools', coco_masks, 'pip install pycocotools'),
    ]


def check_gpu() -> list[Finding]:
    """The GPU, or why there is none."""

    def describe() -> str:
        import torch

        if torch.cuda.is_available():
            gpus = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
            return ', '.join(f'{gpu.name} ({gpu.total_memory / 2**30:.0f} GiB)' for gpu in gpus)
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
    findings = [look_at('OpenCV', partial(_version, 'cv2'), 'pip install opencv-python-headless')]
    names = (f'opencv-{part}python{end}' for part in ('', 'contrib-') for end in ('', '-headless'))
    versions = {name: stack.distribution_version(name) for name in names}
    installed = {name: version for name, version in versions.items() if version}
    if len(set(installed.values())) > 1:
        text = ', '.join(f'{name} {version}' for name, version in installed.items())
        value = f'two versions overwrite each other: {text}'
        findings.append(Finding('OpenCV', WARNING, value, OPENCV_CURE))
    return findings


def check_pkg_resources() -> list[Finding]:
    """``pkg_resources``, which setuptools 81 dropped and MMEngine uses."""
    if stack.find_stack().name != 'openmmlab':
        return []
    version = stack.distribution_version('setuptools') or 'not installed'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            importlib.import_module('pkg_resources')
    except ImportError:
        value = (
            f'{version}, without pkg_resources: MMEngine cannot resolve '
            '`mmdet::...` configs and model names'
        )
        return [Finding('setuptools', WARNING, value, 'pip install "setuptools<81"')]
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

    cure = (
        'mmcv was compiled for another torch: rebuild it, or pip '
        'uninstall mmcv and pip install "mmcv-lite>=2.1,<2.2"'
    )
    return [look_at('mmcv.ops', describe, cure)]


def check_toolboxes() -> list[Finding]:
    """Every toolbox that is installed can be imported with its models."""
    found = stack.find_stack()
    if found.name == 'none':
        return []
    wanted = f'"mmanchor[{"onedl" if found.name == "onedl" else "openmmlab"}]"'
    parts = dict(mmengine='runner', mmcv='ops', mmdet='models', mmseg='models', mmpretrain='models')
    findings = []
    for module, part in parts.items():
        name = f'{module}.{part}'
        if module in found.modules:
            cure = f'pip install --force-reinstall {wanted}'
            findings.append(look_at(f'import {name}', partial(_imported, name), cure))
        else:
            value = 'not installed: its tasks cannot run'
            findings.append(Finding(module, WARNING, value, f'pip install {wanted}'))
    return findings


def _imported(name: str) -> str:
    importlib.import_module(name)
    return 'works'


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
    value = "not installed: the toolboxes' own scripts go without the repairs"
    cure = 'install mmanchor again by pip, or start their scripts by `mmanchor run SCRIPT`'
    return [Finding('import hook', WARNING, value, cure)]


def check_shared_memory() -> list[Finding]:
    """Room for the batches that data-loading workers hand over."""
    if not os.path.isdir('/dev/shm'):
        return []
    total = shutil.disk_usage('/dev/shm').total
    value = f'{total / 2**20:.0f} MiB in /dev/shm'
    if total >= SMALL_SHARED_MEMORY:
        return [Finding('shared memory', OK, value)]
    value = f'{value}: workers may die with "bus error"'
    cure = 'docker run --shm-size=2g, or train with --cfg-options train_dataloader.num_workers=0'
    return [Finding('shared memory', WARNING, value, cure)]


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
