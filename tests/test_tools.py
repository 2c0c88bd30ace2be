"""The scripts that OpenMMLab users type."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / 'tools'


def run(*words, **environment):
    return subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize('name', ['train', 'test'])
def test_script_is_the_command_of_its_checkout(name, tmp_path):
    # Finders of editable installs would know the checkout anyway.
    code = f"""
import runpy, sys
sys.meta_path = [each for each in sys.meta_path
                 if 'editable' not in repr(each).lower()]
sys.argv = ['x', '--help']
try:
    runpy.run_path({str(TOOLS / name) + '.py'!r}, run_name='__main__')
finally:
    print(sys.modules['mmanchor'].__file__)
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f'usage: mmanchor {name}' in done.stdout
    assert '--launcher' in done.stdout
    assert str(TOOLS.parent / 'mmanchor') in done.stdout


@pytest.mark.parametrize(
    'name, words, expected',
    [
        (
            'dist_train',
            ['cfg.py', '4', '--amp', '--cfg-options', 'a=b c'],
            '--nproc_per_node=4 {tools}/train.py cfg.py --launcher pytorch --amp '
            '--cfg-options a=b c',
        ),
        (
            'dist_test',
            ['cfg.py', 'x.pth', '2', '--tta'],
            '--nproc_per_node=2 {tools}/test.py cfg.py x.pth --launcher pytorch --tta',
        ),
    ],
)
def test_distributed_scripts_pass_everything_on(name, words, expected):
    done = run(
        TOOLS / f'{name}.sh',
        *words,
        PYTHON='echo',
        NNODES='2',
        NODE_RANK='1',
        MASTER_ADDR='host',
        PORT='123',
    )
    assert done.stdout.strip() == (
        '-m torch.distributed.run --nnodes=2 --node_rank=1 '
        '--master_addr=host --master_port=123 ' + expected.format(tools=TOOLS)
    )


def test_slurm_script_passes_everything_on(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\necho "$@"\n')
    srun.chmod(0o755)
    done = run(
        TOOLS / 'slurm_train.sh',
        'part',
        'job',
        'cfg.py',
        'work',
        '--resume',
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
        GPUS='16',
        SRUN_ARGS='--quotatype auto',
        PYTHON='py',
    )
    assert done.stdout.strip() == (
        '-p part --job-name=job --gres=gpu:8 --ntasks=16 '
        '--ntasks-per-node=8 --cpus-per-task=5 --kill-on-bad-exit=1 '
        f'--quotatype auto py -u {TOOLS}/train.py cfg.py --work-dir work '
        '--launcher slurm --resume'
    )


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
def test_shell_scripts_say_how_they_are_used(name):
    done = run(TOOLS / name)
    assert done.returncode == 2 and 'usage: ' in done.stderr
