"""Folders that appear under their name only when they are complete."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...utils.files import is_running


@contextmanager
def whole_folder(root: Path) -> Iterator[Path]:
    """Fill a folder, all or nothing.

    The block fills a temporary folder beside ``root``, which takes its name
    (and its place, if it exists) when the block ends; if the block fails,
    ``root`` is unchanged. Leftovers of killed processes are removed.

    Args:
        root: The folder to make; missing parents are made too.

    Yields:
        The empty temporary folder.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f'{root.name}.tmp-{socket.gethostname()}-'
    for leftover in root.parent.glob(f'{prefix}*'):
        pid = leftover.name[len(prefix) :].partition('.')[0]
        if pid.isdigit() and (int(pid) == os.getpid() or not is_running(int(pid))):
            shutil.rmtree(leftover, ignore_errors=True)
    temporary = root.parent / f'{prefix}{os.getpid()}'
    temporary.mkdir()
    try:
        yield temporary
        _take_place(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, root: Path) -> None:
    """Rename; a folder that is not empty has to be moved away first."""
    old = temporary.with_name(f'{temporary.name}.old')
    if root.exists():
        os.replace(root, old)
    try:
        os.replace(temporary, root)
    except BaseException:
        if old.exists():
            os.replace(old, root)
        raise
    shutil.rmtree(old, ignore_errors=True)
