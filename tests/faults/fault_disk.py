"""A disk that is too small, at the start and while saving."""

import os
import resource
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fault_cases import Case, command, fault_of, forked, load_all, tiny_project

SIZES = ('4k', '64k', '400k', '1m', '2m', '4m')


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """A small tmpfs where root may mount one, else a limit on the size of files."""
    load_all()
    project = tiny_project(folder / 'project')
    can_mount = os.geteuid() == 0 and _mount(folder / 'try', '1m')
    if can_mount:
        _unmount(folder / 'try')
        for size in SIZES:
            yield Case(f'tmpfs of {size}', partial(_on_small_disk, folder / 'small', project, size))
    for size in (1000, 50_000, 200_000):
        yield Case(f'files of {size} bytes at most', partial(_with_limit, folder, project, size))
    for path in ('/proc/self/x', '/dev/null/x', str(project / 'seg.py'), ''):
        words = ['train', project / 'seg.py', '--work-dir', path, '--cfg-options']
        yield Case(f'--work-dir {path!r}', partial(_refused, [*words, 'train_cfg.max_iters=1']))


def _words(project: Path, work: Path) -> list:
    checkpoint = 'default_hooks.checkpoint'
    options = [f'{checkpoint}.interval=1', f'{checkpoint}.max_keep_ckpts=1']
    return ['train', project / 'seg.py', '--work-dir', work, '--resume', '--cfg-options', *options]


def _refused(words: list) -> str:
    return fault_of(*command(words))


def _mount(where: Path, size: str) -> bool:
    where.mkdir(exist_ok=True)
    words = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(where)]
    return subprocess.run(words, capture_output=True).returncode == 0


def _unmount(where: Path) -> None:
    subprocess.run(['umount', str(where)], check=True)


def _on_small_disk(where: Path, project: Path, size: str) -> str:
    _mount(where, size)
    try:
        fault = fault_of(*command(_words(project, where / 'w')))
        return fault or _newest_is_whole(where / 'w')
    finally:
        _unmount(where)


def _with_limit(folder: Path, project: Path, size: int) -> str:
    work = folder / f'limit-{size}'

    def run() -> int:
        from mmanchor.cli.main import main

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return main([str(word) for word in _words(project, work)])

    return fault_of(*forked(run, 120)) or _newest_is_whole(work)


def _newest_is_whole(work: Path) -> str:
    """Each checkpoint under its final name is whole, and no half one stays."""
    from mmanchor.engine.checkpoints import find_fault

    if not work.is_dir():
        return ''
    if any(work.glob('.*.pth')):
        return f'left over: {[path.name for path in work.glob(".*.pth")]}'
    faults = [find_fault(path) for path in work.glob('*.pth')]
    return '; '.join(fault for fault in faults if fault)
