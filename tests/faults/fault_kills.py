"""Runs killed at any moment, and resumed: nothing is lost, all is equal."""

import random
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from fault_cases import Case, command, fault_of, load_all, spawned, tiny_project

LAST = 12
OPTIONS = ['--cfg-options', f'train_cfg.max_iters={LAST}', 'train_cfg.val_interval=4',
           'default_hooks.checkpoint.interval=1']  # fmt: skip


def cases(folder: Path, seed: int, times: int) -> Iterator[Case]:
    """Kill while writing, in training and at the start; with 1 and 2 kept."""
    load_all()
    project = tiny_project(folder / 'project')
    whole = folder / 'whole'
    yield Case('a run to compare with', partial(_run_whole, project, whole))
    draw = random.Random(seed)
    for kept in (1, 2):
        for number in range(times):
            for moment in ('writing', 'training'):
                work = folder / f'{kept}-{number}-{moment}'
                yield Case(
                    f'killed while {moment}, max_keep_ckpts={kept}',
                    partial(_kill, project, work, whole, kept, moment, draw.random()),
                )


def _words(project: Path, work: Path, kept: int) -> list:
    keep = f'default_hooks.checkpoint.max_keep_ckpts={kept}'
    return ['train', project / 'seg.py', '--work-dir', work, '--resume', *OPTIONS, keep]


def _run_whole(project: Path, whole: Path) -> str:
    return fault_of(*command(_words(project, whole, 2)), (0,))


def _kill(project: Path, work: Path, whole: Path, kept: int, moment: str, when: float) -> str:
    run = spawned(_words(project, work, kept), project)
    end = time.monotonic() + 120
    had_one = False
    while run.poll() is None and time.monotonic() < end:
        had_one = had_one or any(work.glob('iter_*.pth'))
        if moment == 'writing' and had_one and any(work.glob('.iter_*.pth')):
            break
        if moment == 'training' and had_one:
            time.sleep(when)
            break
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    if not any(work.glob('iter_*.pth')):
        return 'no checkpoint is left'
    fault = fault_of(*command(_words(project, work, kept)), (0,))
    if fault:
        return fault
    if any(work.glob('.iter_*.pth')):
        return 'a half file is left'
    first, second = (
        torch.load(each / f'iter_{LAST}.pth', weights_only=False)['state_dict']
        for each in (whole, work)
    )
    shutil.rmtree(work)
    differ = [name for name in first if not torch.equal(first[name], second[name])]
    return f'{len(differ)} of {len(first)} weights differ' if differ else ''
