"""Where and with what a number was measured."""

import json
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..compat.stack import find_stack
from .report import count_of


def measured(device: str = 'cpu', **more: Any) -> dict[str, Any]:
    """Collect what has to be stated with a benchmark's numbers.

    Args:
        device: 'cpu' or the CUDA device that was measured.
        **more: Anything else, such as the input size.

    Returns:
        The fields of :func:`provenance`, the ``command`` that runs, the
        versions of the ``toolboxes``, the ``device``, ``huge_pages`` (whether
        torch's allocator is set to use them), and ``more``.
    """
    return dict(
        provenance(),
        huge_pages=os.environ.get('THP_MEM_ALLOC_ENABLE') == '1',
        command=_command(),
        toolboxes=find_stack().versions,
        device='cpu' if device == 'cpu' else torch.cuda.get_device_name(device),
        **more,
    )


def describe(measured: dict[str, Any]) -> str:
    """Write one sentence on where and with what something was measured.

    Args:
        measured: From :func:`measured`.
    """
    where = f'{measured["cores"]} cores of {measured["processor"]}'
    if measured['device'] != 'cpu':
        where = f'{measured["device"]} and {where}'
    command = measured['command']
    if measured['huge_pages']:
        command = f'THP_MEM_ALLOC_ENABLE=1 {command}'
    packages = dict(torch=measured['torch'], **measured.get('packages', {}))
    versions = ', '.join(f'{name} {version}' for name, version in packages.items())
    return (
        f'Measured by `{command}` at commit `{measured["commit"]}` on {where}, '
        f'{count_of(measured["threads"], "thread")}, Python {measured["python"]}, {versions}.'
    )


def provenance() -> dict[str, Any]:
    """Collect what identifies the code and the machine.

    Returns:
        ``mmanchor`` (version), ``commit``, ``python``, ``torch``,
        ``processor``, ``cores`` and the ``threads`` that torch uses. The
        commit is that of the checkout, followed by '+' if the package or its
        configs have uncommitted changes; or the one that pip installed from;
        or 'unknown'.
    """
    return dict(
        mmanchor=__version__,
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        processor=_processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
    )


def _command() -> str:
    """The running command, as it would be given to ``mmanchor``."""
    program = Path(sys.argv[0])
    words = sys.argv[1:]
    if program.name == 'benchmark.py':  # tools/benchmark.py
        words = [program.stem, *words]
    return shlex.join(['mmanchor', *words])


def _commit() -> str:
    package = Path(__file__).resolve().parents[1]
    try:
        # The first command fails if the package is installed below a checkout
        # of something else, whose commit would be wrong.
        _, commit, changed = (
            subprocess.run(
                ['git', *words], cwd=package, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ('ls-files', '--error-unmatch', '__init__.py'),
                ('rev-parse', '--short', 'HEAD'),
                ('status', '--porcelain', '-uno', '--', '.', ':/configs'),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return _installed_commit(package) or 'unknown'
    return commit + ('+' if changed else '')


def _installed_commit(package: Path) -> str:
    """The commit that pip noted for a git install (PEP 610); '' if none."""
    try:
        distribution = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return ''
    if Path(distribution.locate_file(package.name)).resolve() != package:
        return ''  # not the copy that runs
    origin = json.loads(distribution.read_text('direct_url.json') or '{}')
    return origin.get('vcs_info', {}).get('commit_id', '')[:7]


def _processor() -> str:
    """The processor's name, if the system gives one."""
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
