"""Several processes, started as tools/dist_train.sh starts them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
COMMON = ['val_cfg=None', 'val_dataloader=None', 'val_evaluator=None']


def start(config, work_dir, *options, words=(), **kwargs):
    """Two processes of one image each."""
    return subprocess.Popen(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=0',
         '--rdzv_backend=c10d', '--rdzv_endpoint=localhost:0', str(ROOT / 'tools' / 'train.py'),
         str(config), '--launcher', 'pytorch', '--work-dir', str(work_dir), *words,
         '--cfg-options', *COMMON, 'train_dataloader.batch_size=1', *options],
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **kwargs,
    )  # fmt: skip


@pytest.mark.slow
def test_a_sum_of_gradients_over_processes_is_resumed_exactly(tiny, tmp_path):
    options = [
        'optim_wrapper.accumulative_counts=2',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.checkpoint.max_keep_ckpts=9',
    ]
    run = start(tiny / 'seg.py', tmp_path / 'a', *options)
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    middle = torch.load(tmp_path / 'a' / 'iter_1.pth', weights_only=False)
    assert len(middle['gradients']) == 2
    words = ['--resume', str(tmp_path / 'a' / 'iter_1.pth')]
    run = start(tiny / 'seg.py', tmp_path / 'b', *options, words=words)
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert 'the unfinished sum of gradients was restored' in said
    whole, resumed = (
        torch.load(tmp_path / name / 'iter_4.pth', weights_only=False)['state_dict']
        for name in 'ab'
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_a_process_that_stops_answering_ends_the_run(tiny, tmp_path):
    options = ['env_cfg.dist_cfg.timeout=5', 'train_cfg.max_iters=10000']
    run = start(tiny / 'seg.py', tmp_path / 'a', *options, start_new_session=True)
    lines = []
    try:
        for line in run.stdout:
            lines.append(line)
            if 'Iter(train)' in line:
                break
        children = Path(f'/proc/{run.pid}/task/{run.pid}/children').read_text().split()
        # Rank 1, which writes nothing itself.
        stopped = next(
            child
            for child in children
            if b'LOCAL_RANK=1\0' in Path(f'/proc/{child}/environ').read_bytes()
        )
        os.kill(int(stopped), signal.SIGSTOP)
        begin = time.monotonic()
        lines += run.stdout.readlines()
        run.wait(timeout=120)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode != 0
    assert time.monotonic() - begin < 120
    assert 'another process of this run stopped answering' in ''.join(lines), ''.join(lines)[-3000:]
