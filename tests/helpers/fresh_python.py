"""Python processes that start as a user's would."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_python(
    words: Sequence[object],
    folder: Path,
    paths: Sequence[Path] = (),
    python: str = sys.executable,
    **environment: str,
) -> subprocess.CompletedProcess:
    """Run Python in a folder, and require that it ends well.

    Args:
        words: What comes after ``python``.
        folder: Where it runs.
        paths: ``PYTHONPATH``; the test's own is not handed on.
        python: The interpreter.
        environment: Variables to set.

    Returns:
        The process, with its output as text.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ('PYTHONPATH', 'MMANCHOR_NO_HOOK')
    }
    variables = {'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(map(str, paths))}
    result = subprocess.run(
        [python, *map(str, words)],
        cwd=folder,
        env={**inherited, **variables, **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result
