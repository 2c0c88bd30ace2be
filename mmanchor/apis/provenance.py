"""Where and with what a number was measured."""
import os
import platform
import subprocess
from pathlib import Path
from typing import Dict

import torch

from .. import __version__


def provenance() -> Dict[str, object]:
    """What a measured number has to be told with.

    Returns:
        ``mmanchor`` (version), ``commit`` ('unknown' outside of a checkout;
        '+' after it if the package or its configs were changed since),
        ``python``,
        ``torch``, ``processor``, ``cores`` and ``threads`` that torch uses.
    """
    return dict(
        mmanchor=__version__,
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        processor=_processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads())


def _commit() -> str:
    package = Path(__file__).resolve().parents[1]
    try:
        # The first fails where the package is installed below a checkout of
        # something else, whose commit says nothing of it.
        _, commit, changed = (
            subprocess.run(['git', *words],
                           cwd=package,
                           capture_output=True,
                           text=True,
                           check=True).stdout.strip()
            for words in (('ls-files', '--error-unmatch',
                           '__init__.py'), ('rev-parse', '--short', 'HEAD'),
                          ('status', '--porcelain', '-uno', '--', '.',
                           ':/configs')))
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return commit + ('+' if changed else '')


def _processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
