"""Where and with what a number was measured."""

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

from .. import __version__


def provenance() -> dict[str, object]:
    """What a measured number has to be told with.

    Returns:
        ``mmanchor`` (version), ``commit`` (of the checkout, with '+' after it
        if the package or its configs were changed since, or the one that pip
        installed from; else 'unknown'), ``python``,
        ``torch``, ``processor``, ``cores`` and ``threads`` that torch uses.
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


def _commit() -> str:
    package = Path(__file__).resolve().parents[1]
    try:
        # The first fails where the package is installed below a checkout of
        # something else, whose commit says nothing of it.
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
    """What pip noted of the repository it fetched, by PEP 610; '' if none."""
    try:
        distribution = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return ''
    if Path(distribution.locate_file(package.name)).resolve() != package:
        return ''  # another copy than the one that runs
    origin = json.loads(distribution.read_text('direct_url.json') or '{}')
    return origin.get('vcs_info', {}).get('commit_id', '')[:7]


def _processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
