"""Several processes, started as tools/dist_train.sh starts them."""

import contextlib
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


# Gradients of one process with two images against two processes with one each.
COMPARE = """
import sys
import torch
import mmanchor
from mmdet.testing import demo_mm_inputs
from mmengine.dist import all_reduce, init_dist
from mmengine.registry import MODELS, DefaultScope
from torch import distributed, nn
from mmanchor.utils.config import load_config

def gradients(model, data):
    model.zero_grad()
    data = model.data_preprocessor(data, True)
    losses = model(**data, mode='loss')
    model.parse_losses(losses)[0].backward()
    return [each.grad.clone() for each in model.parameters() if each.grad is not None]

torch.manual_seed(0)
DefaultScope.get_instance('two', scope_name='mmdet')
cfg = load_config(sys.argv[1], {'model.data_preprocessor.batch_augments': None})
model = MODELS.build(cfg.model).double().train()
model.init_weights()
for layer in model.modules():
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        layer.eval()
data = demo_mm_inputs(2, [[3, 64, 64]] * 2, num_items=[2, 3], num_classes=3)
data['inputs'] = [each.double() for each in data['inputs']]
one = gradients(model, data)
distributed.init_process_group('gloo')
rank = distributed.get_rank()
two = gradients(model, {key: value[rank : rank + 1] for key, value in data.items()})
for each in two:
    all_reduce(each, 'mean')
largest = max(each.abs().max() for each in one)
worst = max((a - b).abs().max() for a, b in zip(one, two, strict=True)) / largest
if rank == 0:
    print('WORST', float(worst))
"""


def launched(*words):
    """The start of a command for two processes of this machine."""
    place = ['--rdzv_backend=c10d', '--rdzv_endpoint=localhost:0']
    return [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', *place, *words]


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(tiny, tmp_path):
    # Untrained, so that the sum of scores that normalizes the losses is below 1.
    script = tmp_path / 'compare.py'
    script.write_text(COMPARE)
    done = subprocess.run(
        launched(str(script), str(tiny / 'picodet.py')),
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=600,
    )
    worst = [float(line.split()[1]) for line in done.stdout.splitlines() if 'WORST' in line]
    assert worst and worst[0] < 1e-6, done.stdout + done.stderr[-3000:]


def start(config, work_dir, *options, words=(), **kwargs):
    """Two processes of one image each."""
    return subprocess.Popen(
        launched(
            str(ROOT / 'tools' / 'train.py'), str(config), '--launcher', 'pytorch',
            '--work-dir', str(work_dir), *words,
            '--cfg-options', *COMMON, 'train_dataloader.batch_size=1', *options,
        ),
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
    options = ['env_cfg.dist_cfg.timeout=10', 'train_cfg.max_iters=10000']
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
        for line in run.stdout:
            lines.append(line)
            if 'stopped answering' in line:
                break
        # Else torchrun waits half a minute for it before it kills.
        os.kill(int(stopped), signal.SIGCONT)
        lines += run.stdout.readlines()
        run.wait(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode != 0
    assert time.monotonic() - begin < 120
    assert 'another process of this run stopped answering' in ''.join(lines), ''.join(lines)[-3000:]
